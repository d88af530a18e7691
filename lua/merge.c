/* merge.c -- adapters written into the weights: model:merge_and_unload and its kin. */
#include "engine/adapt/merge.h"
#include "lua/hold.h"
#include "lua/model.h"
#include "lua/peft.h"

#include <inttypes.h>
#include <string.h>

struct merge_settings {
    char *dtype;
    bool safe_merge;
    struct text_list adapter_names;
};

static const struct option rows[] = {
    OPTION(struct merge_settings, dtype, TEXT, "float32",
           .choices = "float32,float16,bfloat16,f32,f16,bf16",
           .doc = "how the merged weights are kept"),
    OPTION(struct merge_settings, safe_merge, BOOL, "true",
           .doc = "check that merged weights are finite, which is always done"),
    OPTION(struct merge_settings, adapter_names, LIST, NULL,
           .doc = "the one adapter to merge; default: the active one"),
    {.name = "progressbar",
     .type = OPTION_NOTE,
     .doc = "show progress",
     .note = "progressbar: merging takes a moment only"},
};

const struct option_table merge_options_table = {
    .name = "merge_and_unload",
    .doc = "How an adapter is merged.",
    .rows = rows,
    .count = (int)(sizeof rows / sizeof *rows),
    .struct_bytes = sizeof(struct merge_settings),
};

static void note_report(lua_State *L, const struct merge_report *r)
{
    if (!r->weights)
        return;
    bind_note(L, "%" PRId64 " weights merged, the largest change is %.3g in %s", r->weights,
              r->largest, r->largest_name);
    if (r->converted && !strcmp(r->from, "f32"))
        bind_note(L, "note: %" PRId64 " of them were f32 and are %s now", r->converted, r->to);
    else if (r->converted)
        bind_note(L,
                  "note: %" PRId64
                  " of them were %s and are %s now, so they take more memory; written "
                  "back as before they would lose a part of the change",
                  r->converted, r->from, r->to);
    if (r->rounding > 0)
        bind_note(
            L, "note: 16 bits round the merged weights by up to %.3g%s", r->rounding,
            r->rounding > 0.1 * r->largest
                ? ", which is no longer small beside the adapter's change: dtype = \"float32\" "
                  "keeps it"
                : "");
    if (r->untied)
        bind_note(L, "note: embedding and head are no longer one weight (tie_word_embeddings = "
                     "false)");
}

/* (model, options): merges, and reports. */
static void merge(lua_State *L, const char *call,
                  int (*how)(struct model *, const struct merge_options *, struct merge_report *))
{
    struct model *m = lua_model_arg(L, 1);
    struct merge_report report;
    lua_settop(L, 2);
    struct merge_settings *s = hold_options(L, &merge_options_table);
    bind_options(L, 2, &merge_options_table, s);
    if (!lora_of(m))
        bind_error(L, "%s: the model has no adapter; hint: PeftModel.from_pretrained(model, dir)",
                   call);
    if (s->adapter_names.count > 1)
        bind_error(L,
                   "%s: one adapter can be merged at a time, found %d; hint: merge one, then load "
                   "the next",
                   call, s->adapter_names.count);
    if (s->adapter_names.count && strcmp(s->adapter_names.items[0], lora_of(m)->name))
        bind_check(L, lora_activate(m, s->adapter_names.items[0]));
    struct merge_options o = {.dtype = s->dtype};
    bind_check(L, how(m, &o, &report));
    note_report(L, &report);
    lua_getiuservalue(L, 1, 1); /* model.config */
    if (lua_istable(L, -1)) {
        lua_pushboolean(L, m->config.tie_word_embeddings);
        lua_setfield(L, -2, "tie_word_embeddings");
    }
    lua_settop(L, 1);
}

int peft_merge_and_unload(lua_State *L)
{
    merge(L, "merge_and_unload", merge_and_unload);
    return 1;
}

int peft_merge_adapter(lua_State *L)
{
    merge(L, "merge_adapter", merge_adapter);
    return 0;
}

int peft_unmerge_adapter(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    struct lora_set *set = lora_set_of(m);
    if (!set || !set->merged)
        return bind_error(L, "unmerge_adapter: nothing is merged; hint: model:merge_adapter() is "
                             "what can be undone");
    merge_undo(set);
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, 1);
    if (lua_istable(L, -1)) {
        lua_pushboolean(L, m->config.tie_word_embeddings);
        lua_setfield(L, -2, "tie_word_embeddings");
    }
    return 0;
}

/* The base model again, without any adapter. */
int peft_unload(lua_State *L)
{
    lora_detach(lua_model_arg(L, 1));
    lua_settop(L, 1);
    return 1;
}
