/* model_show.c -- a model as a folded tree: layers once, with shapes, storage and MiB. */
#include "engine/adapt/lora.h"
#include "engine/core/file.h"
#include "engine/data/print.h"
#include "lua/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct tree {
    struct model *m;
    luaL_Buffer *b;
    const char *dot, *arrow, *times, *tee, *end, *bar;
};

static void add(luaL_Buffer *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(luaL_Buffer *b, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    luaL_addstring(b, text);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static double mib(int64_t bytes)
{
    return (double)bytes / 1048576;
}

/* " + lora r 8" and " + trained copy" of what the active adapter does to a layer */
static void add_adaptation(struct tree *t, const struct module *module)
{
    for (int i = 0; i < module->linear.adapters; i++)
        add(t->b, " + lora r %" PRId64, module->linear.adapter[i]->a->view.shape[0]);
    if (module->linear.weight_copy)
        add(t->b, " + %s", module->linear.weight_copy->requires_grad ? "trained copy" : "copy");
    else if (module->linear.bias_copy)
        add(t->b, " + bias");
}

/* "576→576 q4_1" of a layer's weight */
static void add_layer(struct tree *t, const char *part)
{
    char name[160];
    snprintf(name, sizeof name, "model.layers.0.%s", part);
    struct module *module = model_module(t->m, name);
    if (!module)
        return;
    const struct tensor *w = module->linear.weight;
    add(t->b, "%s %" PRId64 "%s%" PRId64 " %s", strrchr(part, '.') + 1, w->view.shape[1], t->arrow,
        w->view.shape[0], w->format->name);
    add_adaptation(t, module);
}

static void add_group(struct tree *t, const char *title, const char *const *parts, int count,
                      const char *last)
{
    add(t->b, "%s  %s%s", t->bar, last, title);
    for (int i = 0; i < count; i++) {
        add(t->b, "%s", i ? (i % 2 ? " " : "") : "");
        if (i)
            add(t->b, "%s ", t->dot);
        add_layer(t, parts[i]);
        luaL_addchar(t->b, ' ');
    }
    luaL_addchar(t->b, '\n');
}

static int add_bytes(void *ctx, const char *name, struct tensor *t)
{
    int64_t *sum = ctx;
    if (strstr(name, ".layers."))
        *sum += (int64_t)tensor_bytes(t);
    return OK;
}

static int add_kind(void *ctx, const char *name, struct tensor *t)
{
    char *kinds = ctx;
    (void)name;
    size_t used = strlen(kinds);
    if (t->view.ndim > 1 && !strstr(kinds, t->format->name) && used < 90)
        snprintf(kinds + used, 100 - used, "%s%s", used ? ", " : "", t->format->name);
    return OK;
}

static void add_head(struct tree *t)
{
    const struct model_config *c = &t->m->config;
    char kinds[100] = "";
    int status = model_walk(t->m, add_kind, kinds);
    (void)status; /* add_kind never fails */
    add(t->b, "%s  %s %s %s %s compute %s %s context %" PRId64 "\n", t->m->arch->class_name,
        c->name[0] ? c->name : base_name(t->m->path), t->dot, kinds, t->dot,
        dtype_name(t->m->ctx->compute), t->dot, c->max_position_embeddings);
}

/* " × 8 (llama3) · window 4096": what is not plain about positions. */
static const char *rope_text(const struct tree *t, char *out, size_t bytes)
{
    const struct model_config *c = &t->m->config;
    size_t used = 0;
    out[0] = '\0';
    if (c->rope.kind != ROPE_DEFAULT)
        used = (size_t)snprintf(out, bytes, " %s %g (%s)", t->times, c->rope.factor,
                                rope_kind_name(c->rope.kind));
    if (c->sliding_window && used < bytes)
        snprintf(out + used, bytes - used, " %s window %" PRId64, t->dot, c->sliding_window);
    return out;
}

static void add_layers(struct tree *t)
{
    static const char *const attention[] = {"self_attn.q_proj", "self_attn.k_proj",
                                            "self_attn.v_proj", "self_attn.o_proj"};
    static const char *const mlp[] = {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
    const struct model_config *c = &t->m->config;
    int64_t bytes = 0;
    int status = model_walk(t->m, add_bytes, &bytes);
    (void)status; /* add_bytes never fails */
    char title[64], more[80];
    snprintf(title, sizeof title, "layers %s %" PRId64, t->times, c->num_hidden_layers);
    add(t->b, "%s %-22s %44.1f MiB\n", t->tee, title, mib(bytes));
    add(t->b, "%s  %s input_layernorm   %" PRId64 "\n", t->bar, t->tee, c->hidden_size);
    char group[64];
    snprintf(group, sizeof group, " self_attn         ");
    add_group(t, group, attention, 4, t->tee);
    add(t->b,
        "%s  %s                   heads %" PRId64 " %s kv heads %" PRId64 " %s head_dim %" PRId64
        " %s rope %g%s\n",
        t->bar, t->bar, c->num_attention_heads, t->dot, c->num_key_value_heads, t->dot, c->head_dim,
        t->dot, c->rope.theta, rope_text(t, more, sizeof more));
    add(t->b, "%s  %s post_attention_layernorm %" PRId64 "\n", t->bar, t->tee, c->hidden_size);
    add_group(t, " mlp               silu ", mlp, 3, t->end);
}

static void add_foot(struct tree *t)
{
    struct lora_set *set = lora_set_of(t->m);
    char count[32];
    add(t->b, "%s parameters %s %.1f MiB on %s", print_count(model_parameters(t->m), count), t->dot,
        mib(model_bytes(t->m)), t->m->ctx->device->kind);
    if (!set)
        return;
    const struct lora *l = set->active;
    add(t->b, " %s adapter", t->dot);
    if (set->count > 1 || strcmp(l->name, "default"))
        add(t->b, " '%s' of %" PRId64, l->name, set->count);
    add(t->b, " r %" PRId64 " on %" PRId64 " layers, %s weights%s", l->config.r, l->count,
        print_count(lora_parameters(l), count),
        set->merged    ? " (merged)"
        : set->enabled ? ""
                       : " (switched off)");
}

int model_push_tree(lua_State *L, struct model *m)
{
    luaL_Buffer b;
    bool u = bind_terminal.utf8;
    struct tree t = {m,
                     &b,
                     u ? "·" : "|",
                     u ? "→" : "->",
                     u ? "×" : "x",
                     u ? "├─" : "|-",
                     u ? "└─" : "`-",
                     u ? "│" : "|"};
    const struct model_config *c = &m->config;
    luaL_buffinit(L, &b);
    add_head(&t);
    char shape[48];
    snprintf(shape, sizeof shape, "%" PRId64 "%s%" PRId64, c->vocab_size, t.times, c->hidden_size);
    add(&b, "%s embed_tokens           %-14s %-10s %17.1f MiB", t.tee, shape,
        m->embedding->linear.weight->format->name,
        mib((int64_t)tensor_bytes(m->embedding->linear.weight)));
    add_adaptation(&t, m->embedding);
    luaL_addchar(&b, '\n');
    add_layers(&t);
    add(&b, "%s norm                   %" PRId64 "\n", t.tee, c->hidden_size);
    snprintf(shape, sizeof shape, "%" PRId64 "%s%" PRId64, c->hidden_size, t.arrow, c->vocab_size);
    if (m->head->tied)
        add(&b, "%s lm_head                %-14s tied to embed_tokens", t.end, shape);
    else
        add(&b, "%s lm_head                %-14s %-10s %17.1f MiB", t.end, shape,
            m->head->linear.weight->format->name,
            mib((int64_t)tensor_bytes(m->head->linear.weight)));
    add_adaptation(&t, m->head);
    luaL_addchar(&b, '\n');
    add_foot(&t);
    luaL_pushresult(&b);
    return 1;
}
