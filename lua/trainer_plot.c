/* trainer_plot.c -- trainer:plot(): losses in the terminal or in an SVG file. */
#include "engine/core/file.h"
#include "engine/train/plot.h"
#include "kernels/base/mem.h"
#include "lua/hold.h"
#include "lua/trainer.h"

#include <string.h>

/* The entries that have a value, as points; 'x' and 'y' have room for all. */
static int64_t collect(const struct trainer_log *logs, int64_t n, enum log_name name, double *x,
                       double *y)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (log_has(&logs[i], name)) {
            x[count] = (double)logs[i].step;
            y[count++] = log_get(&logs[i], name);
        }
    return count;
}

/* trainer:plot(), trainer:plot("loss.svg") */
int trainer_plot(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    const char *path = luaL_optstring(L, 2, NULL);
    struct buffer *out = hold_buffer(L);
    int64_t n;
    const struct trainer_log *logs = trainer_logs(o->trainer, &n);
    double *v = hold_array(L, 4 * n + 1, sizeof *v);
    struct plot_series s[2] = {{.name = "loss", .x = v, .y = v + n},
                               {.name = "eval loss", .x = v + 2 * n, .y = v + 3 * n}};
    s[0].count = collect(logs, n, LOG_LOSS, v, v + n);
    s[1].count = collect(logs, n, LOG_EVAL_LOSS, v + 2 * n, v + 3 * n);
    s[1].points = true;
    if (!path) {
        plot_text(out, s, 2, bind_terminal.width(), 14, bind_terminal.utf8);
        bind_check(L, buffer_close(out));
        bind_write(out->bytes, (size_t)out->length);
        return 0;
    }
    size_t length = strlen(path);
    if (length < 5 || strcmp(path + length - 4, ".svg"))
        return bind_error(L, "plot writes .svg files, found '%s'; hint: trainer:plot(\"loss.svg\")",
                          path);
    plot_svg(out, "Training", s, 2);
    bind_check(L, buffer_close(out));
    bind_check(L, file_write_all(path, out->bytes, (size_t)out->length));
    bind_note(L, "%s: %d losses, %d evaluations", path, (int)s[0].count, (int)s[1].count);
    return 0;
}
