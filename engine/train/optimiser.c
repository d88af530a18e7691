/* optimiser.c -- the table of optimisers.
 *
 * To add one: a kernel, a function here, a row. The tests walk the table. */
#include "engine/train/optimiser.h"

#include <stdio.h>
#include <string.h>

static struct view flat(const struct tensor *t)
{
    return view_1d(t->view.data, t->view.dtype, tensor_count(t));
}

static int adamw(struct trained *t, const struct optimiser_step *s)
{
    return RUN(t->param->ctx, adamw, .p = flat(t->param), .g = flat(t->param->grad),
               .m = flat(t->state[0]), .v = flat(t->state[1]), .factor = s->factor->view,
               .finite = s->finite->view, .lr = s->lr, .beta1 = s->beta1, .beta2 = s->beta2,
               .eps = s->epsilon, .weight_decay = t->decay ? s->weight_decay : 0, .step = s->step);
}

static int sgd(struct trained *t, const struct optimiser_step *s)
{
    return RUN(t->param->ctx, sgd, .p = flat(t->param), .g = flat(t->param->grad),
               .factor = s->factor->view, .finite = s->finite->view, .lr = s->lr,
               .weight_decay = t->decay ? s->weight_decay : 0);
}

const struct optimiser optimisers[] = {
    {"adamw_torch",
     "adamw_torch_fused,adamw_hf,adamw,paged_adamw_32bit,paged_adamw_8bit,adamw_8bit,adamw_bnb_"
     "8bit",
     2, adamw, "AdamW with 32-bit state"},
    {"sgd", NULL, 0, sgd, "plain gradient descent"},
    {NULL, NULL, 0, NULL, NULL},
};

static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        size_t k = strcspn(p, ",");
        if (k == n && !strncmp(p, name, n))
            return true;
        p += k + (p[k] == ',');
    }
    return false;
}

int optimiser_find(const char *name, const struct optimiser **out)
{
    char names[256] = "";
    size_t used = 0;
    for (const struct optimiser *o = optimisers; o->name; o++) {
        if (!strcmp(o->name, name) || listed(o->aliases, name)) {
            *out = o;
            return OK;
        }
        used +=
            (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", o->name);
    }
    return fail(ERR_ARG, "optim '%.60s' is unknown; hint: one of %s", name, names);
}

int optimiser_prepare(const struct optimiser *o, struct trained *t)
{
    enum dtype dtype = t->param->ctx->compute;
    for (int i = 0; i < o->states; i++) {
        TRY(tensor_new_like(t->param, dtype, &t->state[i]));
        TRY(tensor_fill(t->state[i], 0));
    }
    return OK;
}
