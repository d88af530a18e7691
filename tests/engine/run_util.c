/* run_util.c -- see run_util.h. */
#include "tests/engine/run_util.h"
#include "engine/core/file.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void run_set(struct run *r, const char *name, const char *value)
{
    const struct option *o;
    CHECK(options_find(&training_arguments, name, &o));
    CHECK(options_parse(&training_arguments, o, &r->args, value));
}

static struct examples *rows(int count, int first)
{
    struct examples *e;
    int32_t id[32];
    CHECK(examples_new(&e));
    for (int s = first; s < first + count; s++) {
        int n = 3 + s * 5 % 14;
        for (int i = 0; i < n; i++)
            id[i] = (7 + s * 11 + i * 13 + i * i * (s + 1)) % 97;
        CHECK(examples_add(e, id, NULL, n, 0, -1, s));
    }
    return e;
}

void run_open(struct run *r, const struct run_setting *s, const char *folder)
{
    char number[16];
    struct lora_config c;
    const struct option *o;
    memset(r, 0, sizeof *r);
    r->ctx = util_context(NULL, DT_F32, s->threads ? s->threads : 2);
    CHECK(model_load(r->ctx, "tests/golden/llama_tied_gqa.gguf", s->dtype, &r->m));
    if (s->full) {
        CHECK(trainer_unfreeze(r->m));
    } else {
        CHECK(options_init(&lora_options, &c));
        c.r = 3;
        c.lora_alpha = 6;
        c.lora_dropout = s->dropout;
        CHECK(options_find(&lora_options, "target_modules", &o));
        CHECK(options_parse(&lora_options, o, &c, "all-linear"));
        CHECK(lora_attach(r->m, &c, 1, &r->lora));
        options_free(&lora_options, &c);
    }
    r->data = rows(13, 0);
    r->eval = rows(4, 20);
    CHECK(options_init(&training_arguments, &r->args));
    snprintf(number, sizeof number, "%d", s->accumulate ? s->accumulate : 1);
    run_set(r, "output_dir", folder);
    run_set(r, "per_device_train_batch_size", "2");
    run_set(r, "gradient_accumulation_steps", number);
    run_set(r, "micro_batch_tokens", s->micro ? s->micro : "20");
    run_set(r, "max_steps", s->steps ? s->steps : "8");
    run_set(r, "learning_rate", "2e-3");
    run_set(r, "lr_scheduler_type", "cosine");
    run_set(r, "warmup_steps", "3");
    run_set(r, "weight_decay", "0.01");
    run_set(r, "logging_steps", "2");
    run_set(r, "eval_strategy", "steps");
    run_set(r, "eval_steps", "3");
    run_set(r, "metric_for_best_model", "loss");
    run_set(r, "save_steps", "1000");
}

void run_start(struct run *r)
{
    CHECK(trainer_new(r->m, r->data, r->eval, &r->args, &r->t));
    trainer_set_output(r->t, NULL);
}

void run_close(struct run *r)
{
    trainer_free(r->t);
    examples_free(r->data);
    examples_free(r->eval);
    options_free(&training_arguments, &r->args);
    model_release(r->m);
    util_context_free(r->ctx);
}

void run_to(struct run *r, int64_t steps, int micro)
{
    struct trainer_event e;
    while (r->t->step < steps || r->t->eval_pending || r->t->in_eval || r->t->save_pending)
        CHECK(trainer_next(r->t, &e));
    for (int i = 0; i < micro; i++) {
        CHECK(trainer_next(r->t, &e));
        assert_int_equal(e.kind, TRAINER_MICRO);
    }
}

void run_to_end(struct run *r)
{
    struct trainer_event e;
    do
        CHECK(trainer_next(r->t, &e));
    while (e.kind != TRAINER_DONE);
}

static void mix(uint64_t *h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        *h = (*h ^ p[i]) * 1099511628211u;
}

static void mix_tensor(uint64_t *h, struct tensor *x)
{
    size_t n = tensor_bytes(x);
    void *bytes = mem_alloc(n);
    assert_non_null(bytes);
    CHECK(tensor_read(x, bytes));
    mix(h, bytes, n);
    mem_free(bytes);
}

static void mix_log(uint64_t *h, const struct trainer_log *e)
{
    mix(h, &e->step, sizeof e->step);
    mix(h, &e->epoch, sizeof e->epoch);
    for (int i = 0; i < LOG_NAMES; i++) {
        bool has = log_has(e, i);
        if (log_fields[i].timing)
            continue;
        mix(h, &has, sizeof has);
        if (has)
            mix(h, &e->value[i], sizeof e->value[i]);
    }
}

uint64_t run_hash(struct run *r)
{
    const struct trainer *t = r->t;
    uint64_t h = 1469598103934665603u;
    for (int64_t i = 0; i < t->trained_count; i++) {
        mix(&h, t->trained[i].name, strlen(t->trained[i].name));
        mix_tensor(&h, t->trained[i].param);
        for (int s = 0; s < t->optimiser->states; s++)
            mix_tensor(&h, t->trained[i].state[s]);
    }
    const double numbers[] = {t->sums.loss,         t->sums.hits,         t->sums.targets,
                              t->sums.all_loss,     t->last_norm,         t->last_rate,
                              t->best_metric,       (double)t->step,      (double)t->tokens,
                              (double)t->best_step, (double)t->sums.steps};
    mix(&h, numbers, sizeof numbers);
    for (int64_t i = 0; i < t->log_count; i++)
        mix_log(&h, &t->logs[i]);
    return h;
}

void run_folder(char out[256])
{
    const char *base = getenv("TMPDIR");
    if (!base) /* in memory, where syncing costs nothing */
        base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(out, 256, "%s/lorash-test-XXXXXX", base);
    if (!mkdtemp(out))
        fail_msg("no temporary folder: %s", out);
}

void run_folder_remove(const char *folder)
{
    CHECK(file_remove_folder(folder));
}
