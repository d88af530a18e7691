/* trainer_loop.c -- pulls the training machine, shows how it goes, answers Ctrl-C.
 *
 * On a terminal one live line, with log rows scrolling above it; in a file one key=value line for
 * each log entry; or JSON. The first Ctrl-C pauses after the micro-batch at hand and keeps
 * everything; a second one drops the step at hand. In a recipe an interrupt ends the run. */
#include "lua/hold.h"
#include "engine/core/clock.h"
#include "lua/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define RECENT 32 /* steps that the estimate of the remaining time looks back on */
#define SPARKS 12

struct progress {
    struct trainer_object *o;
    double begun, step_begun, drawn, printed; /* seconds of the monotonic clock */
    double recent[RECENT];                    /* seconds of the last steps */
    double losses[SPARKS];
    int steps; /* in this call */
    int64_t tokens, step_tokens;
    double rate; /* tokens a second of the last step */
    double loss, norm, lr, loss_sum, epoch;
    bool header;
    bool partial; /* the step at hand was begun in an earlier call: its time is not known */
};

static void write_line(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void write_line(const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    bind_write(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static double peak_gib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 0x1p20;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Seconds a step: the median of the last ones; the very first of a call is left out when there
 * are others, since it warms up. */
static double step_seconds(const struct progress *p)
{
    double sorted[RECENT];
    int first = p->steps > 1 && p->steps <= RECENT ? 1 : 0;
    int n = (p->steps < RECENT ? p->steps : RECENT) - first;
    if (n <= 0)
        return p->steps ? p->recent[0] : 0;
    memcpy(sorted, p->recent + first, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[n / 2];
}

static void duration(double seconds, char *out, size_t bytes)
{
    int64_t s = (int64_t)ceil(seconds);
    if (s < 3600)
        snprintf(out, bytes, "%d:%02d", (int)(s / 60), (int)(s % 60));
    else
        snprintf(out, bytes, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

/* --- the live line ---------------------------------------------------------------------------- */

static void add_bar(char *out, size_t bytes, double share, int width)
{
    bool u = bind_terminal.utf8;
    size_t used = strlen(out);
    int full = (int)(share * width);
    for (int i = 0; i < width && used + 4 < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s",
                                 i < full ? (u ? "━" : "=") : (u ? "─" : "."));
}

static void add_sparks(const struct progress *p, char *out, size_t bytes)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    int n = p->steps < SPARKS ? p->steps : SPARKS;
    double low = INFINITY, high = -INFINITY;
    size_t used = strlen(out);
    for (int i = 0; i < n; i++) {
        low = fmin(low, p->losses[i]);
        high = fmax(high, p->losses[i]);
    }
    for (int i = 0; i < n && bind_terminal.utf8 && used + 4 < bytes; i++) {
        int level = high > low ? (int)((p->losses[i] - low) / (high - low) * 7.999) : 0;
        used += (size_t)snprintf(out + used, bytes - used, "%s", bars[level]);
    }
}

static void draw(struct progress *p, const struct trainer_event *e, bool force)
{
    char line[400] = "", left[32];
    double t = clock_seconds(), each = step_seconds(p);
    if (bind_terminal.progress != BIND_PROGRESS_BAR || (!force && t - p->drawn < 0.1))
        return;
    p->drawn = t;
    double share = e->micro_total ? (double)e->micro / (double)e->micro_total : 0;
    double done = (double)e->step + (e->kind == TRAINER_MICRO ? share : 0);
    double all = e->total_steps ? done / (double)e->total_steps : 1;
    const char *dot = bind_terminal.utf8 ? "·" : "|";
    int width = bind_terminal.width();
    if (e->kind == TRAINER_EVAL_MICRO) {
        snprintf(line, sizeof line, " evaluating %" PRId64 "/%" PRId64 " ", e->micro,
                 e->micro_total);
        add_bar(line, sizeof line, share, 20);
        bind_terminal.live(line);
        return;
    }
    snprintf(line, sizeof line, " %" PRId64 "/%" PRId64 " ", e->step, e->total_steps);
    add_bar(line, sizeof line, all, width >= 100 ? 22 : width >= 70 ? 12 : 4);
    size_t used = strlen(line);
    used += (size_t)snprintf(line + used, sizeof line - used, " %.0f%%", 100 * all);
    if (p->steps) {
        duration(each * ((double)e->total_steps - done), left, sizeof left);
        used += (size_t)snprintf(line + used, sizeof line - used,
                                 " %s %.2f s/step %s %.0f tok/s %s %.3f ", dot, each, dot, p->rate,
                                 dot, p->loss);
        if (width >= 90)
            add_sparks(p, line, sizeof line);
        used = strlen(line);
        snprintf(line + used, sizeof line - used, " %s %s left", dot, left);
    }
    bind_terminal.live(line);
}

/* --- log lines -------------------------------------------------------------------------------- */

static void print_row(struct progress *p, const struct trainer_event *e)
{
    if (!p->header)
        write_line("  %6s  %6s  %8s  %7s  %8s  %8s  %s\n", "step", "epoch", "loss", "grad", "lr",
                   "tok/s", "memory");
    p->header = true;
    char rate[32] = "-"; /* a step whose micro-batches were all done before the pause */
    if (p->rate > 0)
        snprintf(rate, sizeof rate, "%.0f", p->rate);
    write_line("  %6" PRId64 "  %6.2f  %8.4f  %7.3f  %8.1e  %8s  %.2f GiB\n", e->step, e->epoch,
               p->loss_sum, p->norm, p->lr, rate, peak_gib());
}

static void print_plain(struct progress *p, const struct trainer_event *e)
{
    double left = step_seconds(p) * (double)(e->total_steps - e->step);
    write_line("step=%" PRId64
               " epoch=%.2f loss=%.4f grad_norm=%.3f lr=%.2e tok_s=%.0f mem_gib=%.2f "
               "eta_s=%.0f\n",
               e->step, e->epoch, p->loss_sum, p->norm, p->lr, p->rate, peak_gib(), left);
}

static void print_json(struct progress *p, const struct trainer_event *e)
{
    write_line("{\"step\":%" PRId64 ",\"epoch\":%.4f,\"loss\":%.6g,\"grad_norm\":%.6g,"
               "\"learning_rate\":%.6g,\"tok_s\":%.0f}\n",
               e->step, e->epoch, p->loss_sum, p->norm, p->lr, p->rate);
}

static void print_log(struct progress *p, const struct trainer_event *e)
{
    int64_t n;
    const struct trainer_log *logs = trainer_logs(p->o->trainer, &n);
    p->loss_sum = n && log_has(&logs[n - 1], LOG_LOSS) ? log_get(&logs[n - 1], LOG_LOSS) : e->loss;
    p->printed = clock_seconds();
    switch (bind_terminal.progress) {
    case BIND_PROGRESS_BAR:
        print_row(p, e);
        break;
    case BIND_PROGRESS_PLAIN:
        print_plain(p, e);
        break;
    case BIND_PROGRESS_JSON:
        print_json(p, e);
        break;
    case BIND_PROGRESS_NONE:
        break;
    }
}

static void print_eval(const struct trainer_event *e)
{
    switch (bind_terminal.progress) {
    case BIND_PROGRESS_BAR:
        write_line("  eval at step %" PRId64
                   ": loss %.4f · perplexity %.2f · token accuracy %.3f\n",
                   e->step, e->loss, exp(e->loss), e->accuracy);
        break;
    case BIND_PROGRESS_PLAIN:
        write_line("step=%" PRId64 " epoch=%.2f eval_loss=%.4f eval_accuracy=%.4f\n", e->step,
                   e->epoch, e->loss, e->accuracy);
        break;
    case BIND_PROGRESS_JSON:
        write_line("{\"step\":%" PRId64
                   ",\"epoch\":%.4f,\"eval_loss\":%.6g,\"eval_accuracy\":%.6g}\n",
                   e->step, e->epoch, e->loss, e->accuracy);
        break;
    case BIND_PROGRESS_NONE:
        break;
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void step_done(struct progress *p, const struct trainer_event *e)
{
    double t = clock_seconds(), seconds = t - p->step_begun;
    if (!p->partial) {
        if (p->steps >= RECENT)
            memmove(p->recent, p->recent + 1, (RECENT - 1) * sizeof *p->recent);
        p->recent[p->steps < RECENT ? p->steps : RECENT - 1] = seconds;
        if (p->steps >= SPARKS)
            memmove(p->losses, p->losses + 1, (SPARKS - 1) * sizeof *p->losses);
        p->losses[p->steps < SPARKS ? p->steps : SPARKS - 1] = e->loss;
        p->steps++;
        p->rate = seconds > 0 ? (double)p->step_tokens / seconds : 0;
    }
    p->partial = false;
    p->step_tokens = 0;
    p->step_begun = t;
    p->loss = e->loss;
    p->norm = e->grad_norm;
    p->lr = e->learning_rate;
    bool long_silence = bind_terminal.progress == BIND_PROGRESS_PLAIN && t - p->printed > 30;
    if (e->logged || long_silence)
        print_log(p, e);
}

static void print_save(const struct progress *p)
{
    const char *path = trainer_saved(p->o->trainer);
    struct buffer quoted = {0};
    switch (bind_terminal.progress) {
    case BIND_PROGRESS_BAR:
        write_line("  saved %s\n", path);
        break;
    case BIND_PROGRESS_PLAIN:
        write_line("step=%" PRId64 " saved=%s\n", trainer_step(p->o->trainer), path);
        break;
    case BIND_PROGRESS_JSON:
        json_quote(&quoted, path, strlen(path));
        if (!buffer_close(&quoted))
            write_line("{\"step\":%" PRId64 ",\"saved\":%s}\n", trainer_step(p->o->trainer),
                       quoted.bytes);
        buffer_free(&quoted);
        break;
    case BIND_PROGRESS_NONE:
        break;
    }
}

static void handle(struct progress *p, const struct trainer_event *e)
{
    switch (e->kind) {
    case TRAINER_MICRO:
        p->tokens += e->tokens;
        p->step_tokens += e->tokens;
        break;
    case TRAINER_STEP:
        step_done(p, e);
        break;
    case TRAINER_EVAL:
        print_eval(e);
        p->step_begun = clock_seconds(); /* evaluation is no part of a step's time */
        break;
    case TRAINER_SAVE:
        print_save(p);
        p->step_begun = clock_seconds();
        break;
    case TRAINER_BEST:
    case TRAINER_EVAL_MICRO:
    case TRAINER_DONE:
        break;
    }
    bool wrote = e->logged || e->kind == TRAINER_EVAL || e->kind == TRAINER_SAVE;
    if (wrote && bind_terminal.flush)
        bind_terminal.flush();
    if (e->kind != TRAINER_SAVE && e->kind != TRAINER_BEST)
        draw(p, e, e->kind == TRAINER_STEP);
}

static void note_problem(lua_State *L, struct trainer *t)
{
    const char *problem = trainer_log_problem(t);
    if (problem)
        bind_note(L, "note: the log is not complete on disk: %s", problem);
}

/* Calls the callbacks of an event; false with the error on top when one fails. */
static bool call_back(lua_State *L, struct progress *p, const struct trainer_event *e)
{
    int64_t n;
    (void)trainer_logs(p->o->trainer, &n);
    int64_t last = n - 1;
    switch (e->kind) {
    case TRAINER_STEP:
        return trainer_call(L, "on_step_end", -1) &&
               (!e->logged || trainer_call(L, "on_log", last)) &&
               (floor(e->epoch + 1e-9) == floor(p->epoch + 1e-9) ||
                trainer_call(L, "on_epoch_end", -1));
    case TRAINER_EVAL:
        return trainer_call(L, "on_log", last) && trainer_call(L, "on_evaluate", last);
    case TRAINER_SAVE:
        return trainer_call(L, "on_save", -1);
    case TRAINER_DONE:
        return (!e->logged || trainer_call(L, "on_log", last)) &&
               trainer_call(L, "on_train_end", -1);
    default:
        return true;
    }
}

/* Pulls until 'last' comes, an interrupt or an error; the status. *failed: a callback's error is on
 * top of the stack. */
static int pull(lua_State *L, struct progress *p, enum trainer_event_kind last,
                struct trainer_event *e, bool *failed)
{
    struct model *m = p->o->model;
    int before = m->cancel_at, status = OK;
    m->cancel_at = 2; /* the first Ctrl-C waits for the end of the micro-batch */
    *failed = false;
    p->epoch = trainer_epoch(p->o->trainer);
    do {
        status = trainer_next(p->o->trainer, e);
        if (status)
            break;
        handle(p, e);
        *failed = !call_back(L, p, e);
        if (e->kind == TRAINER_STEP)
            p->epoch = e->epoch;
        note_problem(L, p->o->trainer);
    } while (!*failed && e->kind != last && e->kind != TRAINER_DONE && !bind_interrupted &&
             !bind_terminated);
    m->cancel_at = before;
    bind_terminal.live(NULL);
    return status;
}

/* --- results ---------------------------------------------------------------------------------- */

static int output_text(lua_State *L)
{
    char line[160];
    lua_getfield(L, 1, "global_step");
    lua_getfield(L, 1, "training_loss");
    lua_getfield(L, 1, "status");
    snprintf(line, sizeof line,
             "TrainOutput{ global_step = %lld, training_loss = %.4f, status = \"%s\" }",
             lua_tointeger(L, -3), lua_tonumber(L, -2), lua_tostring(L, -1));
    lua_pushstring(L, line);
    return 1;
}

/* A table that prints itself in one line. */
static void push_result(lua_State *L, struct progress *p, const char *how)
{
    struct trainer_object *o = p->o;
    lua_createtable(L, 0, 6);
    lua_pushstring(L, how);
    lua_setfield(L, -2, "status");
    lua_pushinteger(L, trainer_step(o->trainer));
    lua_setfield(L, -2, "global_step");
    lua_pushnumber(L, trainer_train_loss(o->trainer));
    lua_setfield(L, -2, "training_loss");
    lua_pushnumber(L, o->seconds);
    lua_setfield(L, -2, "train_runtime");
    lua_pushnumber(L, o->seconds > 0 ? (double)p->tokens / (clock_seconds() - p->begun) : 0);
    lua_setfield(L, -2, "tokens_per_second");
    if (luaL_newmetatable(L, "lorash.TrainOutput")) {
        lua_pushcfunction(L, output_text);
        lua_setfield(L, -2, "__tostring");
    }
    lua_setmetatable(L, -2);
}

static void report_pause(lua_State *L, const struct trainer_event *e)
{
    if (e->kind == TRAINER_MICRO && e->micro < e->micro_total)
        bind_note(L,
                  "paused in step %" PRId64 " of %" PRId64 ", %" PRId64 " of %" PRId64
                  " micro-batches done · everything kept",
                  e->step + 1, e->total_steps, e->micro, e->micro_total);
    else
        bind_note(L, "paused after step %" PRId64 " of %" PRId64 " · everything kept", e->step,
                  e->total_steps);
    bind_note(L, "trainer:train() goes on · model:generate(...) tries it as it is");
}

/* The loop stopped before the end: what to say, keep or give up. 'e' is the last event. */
static int interrupted(lua_State *L, struct progress *p, struct trainer_event *e, int status)
{
    int signal_number = bind_terminated;
    if (status == ERR_CANCELLED) {
        e->kind = TRAINER_STEP;
        e->step = trainer_step(p->o->trainer);
        e->total_steps = trainer_total_steps(p->o->trainer);
    }
    if (signal_number) {
        trainer_rescue(L, p->o);
        return bind_exit(L, 128 + signal_number, "ended by signal %d", signal_number);
    }
    if (!bind_host.interactive) {
        trainer_rescue(L, p->o);
        return bind_error(L, "interrupted");
    }
    bind_take_interrupt(L);
    report_pause(L, e);
    push_result(L, p, "paused");
    return 1;
}

/* The error of a callback is on top: one that is only Ctrl-C inside it pauses. */
static int callback_failed(lua_State *L, struct progress *p, struct trainer_event *e)
{
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (bind_terminated || !strcmp(message, "interrupted"))
        return interrupted(L, p, e, OK);
    bind_note(L, "training is paused: a callback failed · everything kept");
    return lua_error(L);
}

/* --- trainer:train ----------------------------------------------------------------------------- */

struct train_call {
    char *resume_from_checkpoint;
};

static const struct option train_rows[] = {
    OPTION(struct train_call, resume_from_checkpoint, TEXT, NULL, .boolean = true,
           .doc = "go on from this checkpoint folder; true = the newest of output_dir, \"auto\" = "
                  "if any"),
};

const struct option_table train_options = {
    .name = "train",
    .doc = "Where training starts from.",
    .rows = train_rows,
    .count = (int)(sizeof train_rows / sizeof *train_rows),
    .struct_bytes = sizeof(struct train_call),
};

/* train(), train{ resume_from_checkpoint = x } or train(x): NULL = begin or go on. */
static const char *resume_asked(lua_State *L, const struct trainer_object *o)
{
    struct train_call *c = hold_options(L, &train_options);
    if (lua_isboolean(L, 2) || lua_type(L, 2) == LUA_TSTRING) {
        lua_createtable(L, 0, 1);
        lua_pushvalue(L, 2);
        lua_setfield(L, -2, "resume_from_checkpoint");
        bind_options(L, -1, &train_options, c);
        lua_pop(L, 1);
    } else {
        bind_options(L, 2, &train_options, c);
    }
    const char *given = c->resume_from_checkpoint;
    if (given)
        return *given && strcmp(given, "false") ? given : NULL;
    bool fresh = !o->begun && trainer_step(o->trainer) == 0;
    return fresh ? arguments_resume(&o->args) : NULL;
}

static bool is_done(const struct trainer_object *o)
{
    return trainer_step(o->trainer) == trainer_total_steps(o->trainer);
}

static void report_done(lua_State *L, const struct progress *p, const struct trainer_event *e)
{
    char time[32];
    struct trainer_best best = trainer_best(p->o->trainer);
    duration(p->o->seconds, time, sizeof time);
    bind_note(L, "done · %" PRId64 " steps · %.2f epochs · %s · %.0f tok/s · peak %.2f GiB",
              e->step, e->epoch, time, (double)p->tokens / (clock_seconds() - p->begun),
              peak_gib());
    if (!is_done(p->o))
        bind_note(L, "stopped early, %" PRId64 " of %" PRId64 " steps · trainer:train() goes on",
                  e->step, e->total_steps);
    if (p->o->args.load_best_model_at_end && best.checkpoint)
        bind_note(L, "the model is that of step %" PRId64 ", the best one: %s", best.step,
                  best.checkpoint);
}

int trainer_train(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    struct progress p = {.o = o, .begun = clock_seconds(), .loss = NAN};
    struct trainer_event e = {0};
    bool failed = false;
    lua_settop(L, 2);
    trainer_remember(L);
    trainer_begin(L, o, resume_asked(L, o));
    p.step_begun = p.printed = p.begun = clock_seconds();
    p.partial = trainer_in_step(o->trainer);
    if (is_done(o) && o->finished) {
        bind_note(L,
                  "all %" PRId64 " steps are done; hint: a new SFTTrainer{...} goes on from here",
                  trainer_total_steps(o->trainer));
        push_result(L, &p, "done");
        return 1;
    }
    trainer_go_on(o->trainer);
    if (trainer_step(o->trainer) > 0 && !is_done(o))
        bind_note(L, "continuing in step %" PRId64, trainer_step(o->trainer) + 1);
    failed = !trainer_call(L, "on_train_begin", -1);
    int status = failed ? OK : pull(L, &p, TRAINER_DONE, &e, &failed);
    o->seconds += clock_seconds() - p.begun;
    if (failed)
        return callback_failed(L, &p, &e);
    if ((bind_interrupted || bind_terminated) && (!status || status == ERR_CANCELLED) &&
        e.kind != TRAINER_DONE)
        return interrupted(L, &p, &e, status);
    bind_check(L, status);
    o->finished = is_done(o);
    report_done(L, &p, &e);
    push_result(L, &p, "done");
    return 1;
}

int trainer_run_evaluate(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    struct progress p = {.o = o, .begun = clock_seconds()};
    struct trainer_event e = {0};
    bool failed;
    lua_settop(L, 1);
    bind_check(L, trainer_evaluate(o->trainer));
    int status = pull(L, &p, TRAINER_EVAL, &e, &failed);
    if (failed)
        return callback_failed(L, &p, &e);
    bind_check(L, status);
    if (bind_terminated)
        return interrupted(L, &p, &e, status);
    if (e.kind != TRAINER_EVAL) {
        bind_take_interrupt(L);
        return bind_error(L, "interrupted; hint: trainer:evaluate() starts again");
    }
    lua_createtable(L, 0, 4);
    lua_pushnumber(L, e.loss);
    lua_setfield(L, -2, "eval_loss");
    lua_pushnumber(L, exp(e.loss));
    lua_setfield(L, -2, "eval_perplexity");
    lua_pushnumber(L, e.accuracy);
    lua_setfield(L, -2, "eval_mean_token_accuracy");
    lua_pushnumber(L, clock_seconds() - p.begun);
    lua_setfield(L, -2, "eval_runtime");
    return 1;
}
