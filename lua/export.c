/* export.c -- model:save_pretrained of a whole model, model:save_gguf, model:save_adapter_gguf. */
#include "lua/export.h"
#include "engine/data/print.h"
#include "engine/model/save.h"
#include "lua/model.h"

#include <inttypes.h>

int export_whole(lua_State *L, struct model *m, const char *dir, const char *dtype,
                 const char *max_shard_size)
{
    const struct save_config c = {dtype, max_shard_size};
    int64_t files = 0;
    char weights[32];
    bind_check(L, model_save(m, dir, &c, &files));
    bind_note(L, "model saved in %s: %s weights in %" PRId64 " file%s", dir,
              print_count(model_parameters(m), weights), files, files == 1 ? "" : "s");
    return 0;
}
