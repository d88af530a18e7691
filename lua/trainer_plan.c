/* trainer_plan.c -- what SFTTrainer says before step 1: rows, what is trained, memory, time. */
#include "engine/adapt/lora.h"
#include "engine/data/print.h"
#include "engine/text/tokenizer.h"
#include "engine/train/plan.h"
#include "lua/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* With thousands separated; a small ring of buffers, so that one line can hold several. */
static const char *grouped(int64_t n)
{
    static char ring[6][32];
    static int next;
    next = (next + 1) % 6;
    return print_count(n, ring[next]);
}

static void print_rows(lua_State *L, const struct trainer_object *o, struct tokenizer *t)
{
    const struct examples *e = o->train;
    size_t n;
    int32_t eos = tokenizer_special_id(t, TOKENIZER_EOS);
    const char *name = eos >= 0 ? tokenizer_token(t, eos, &n) : NULL;
    char end[160];
    if (name)
        snprintf(end, sizeof end, "%.40s learned on %s rows", name, grouped(e->ended));
    else
        snprintf(end, sizeof end, "no end-of-text token");
    bind_note(L, "%s examples, mean %.0f tokens, %s cut to %s, %s without a target · %s",
              grouped(e->count), (double)e->tokens / (double)e->count, grouped(e->cut),
              grouped(o->args.max_length), grouped(e->without_target), end);
}

static void print_trainable(lua_State *L, const struct trainer_object *o)
{
    int64_t all = model_parameters(o->model) + lora_all_parameters(o->model);
    int64_t trained = trainer_trainable(o->trainer);
    bind_note(L, "trainable params: %s || all params: %s || trainable%%: %.4f", grouped(trained),
              grouped(all), 100.0 * (double)trained / (double)all);
}

static void time_text(double seconds, char *out, size_t bytes)
{
    if (seconds < 90)
        snprintf(out, bytes, "%.0f s", fmax(1, ceil(seconds)));
    else if (seconds < 5400)
        snprintf(out, bytes, "%.0f min", ceil(seconds / 60));
    else
        snprintf(out, bytes, "%.1f h", seconds / 3600);
}

static int64_t memory_bytes(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
}

static void check_memory(lua_State *L, const struct train_plan *p, int64_t needed)
{
    int64_t have = memory_bytes();
    if (needed <= have)
        return;
    int64_t left = have - p->weight_bytes - p->state_bytes;
    int64_t fits = p->step_bytes > 0 && left > 0
                       ? (int64_t)((double)p->largest_pack * (double)left / (double)p->step_bytes)
                       : 0;
    bind_error(
        L,
        "SFTTrainer: needs about %.1f GiB, this machine has %.1f; hint: max_length = %" PRId64
        " and micro_batch_tokens = %" PRId64 " would fit",
        (double)needed / 0x1p30, (double)have / 0x1p30, fits, fits);
}

void trainer_print_plan(lua_State *L, struct trainer_object *o, struct tokenizer *t)
{
    struct train_plan p;
    char time[40];
    int64_t steps = trainer_total_steps(o->trainer);
    bind_check(L,
               plan_make(o->model, o->train, &o->args, steps, trainer_state_bytes(o->trainer), &p));
    int64_t needed = p.weight_bytes + p.state_bytes + p.step_bytes;
    check_memory(L, &p, needed);
    time_text(p.seconds, time, sizeof time);
    print_rows(L, o, t);
    print_trainable(L, o);
    bind_note(L, "%s steps of %s examples · needs about %.2f of %.1f GiB · about %s",
              grouped(steps),
              grouped(o->args.per_device_train_batch_size * o->args.gradient_accumulation_steps),
              (double)needed / 0x1p30, (double)memory_bytes() / 0x1p30, time);
}
