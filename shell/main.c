/* main.c -- the program: options, what to run, exit codes. The only place that exits.
 *
 * 0 done, 1 error, 2 usage, 3 no such device, 4 out of memory, 130 interrupted, 129 and 143 ended by
 * SIGHUP and SIGTERM. The device is opened
 * on first use, so that the prompt and -e '' start at once; a device named on the command line is
 * opened first, so that a wrong name is reported before anything runs. */
#include "engine/core/file.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"
#include "kernels/kernels.h"
#include "lua/bind.h"
#include "lua/open.h"
#include "lua/runtime.h"
#include "shell/errors.h"
#include "shell/interrupt.h"
#include "shell/probe.h"
#include "shell/repl.h"
#include "shell/terminal.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, NO_DEVICE = 3, NO_MEMORY = 4 };

struct settings {
    const char *code[64]; /* -e, in order */
    int codes;
    const char *file; /* NULL = none, "-" = standard input */
    char **arguments; /* after the file */
    int argument_count;
    bool stay, version, help, quiet; /* -i, --version, --help, -q */
    const char *device, *threads, *seed, *progress, *color;
};

static const char help_page[] =
    "usage: lorash [options] [recipe.lua [arguments] | -]\n"
    "\n"
    "Without a recipe and code: the shell. With one: runs it; the exit status tells.\n"
    "\n"
    "  -e CODE              runs CODE (may be repeated)\n"
    "  -i                   stays in the shell after the recipe or code\n"
    "  -                    reads the recipe from standard input\n"
    "  -q, --quiet          no notes, no banner\n"
    "  --device NAME        cpu (default), cuda, cuda:N, ref, null\n"
    "  --threads N          threads that compute; default: one for each CPU\n"
    "  --seed N             where random numbers start; default 42\n"
    "  --progress MODE      auto, bar, plain, json or none\n"
    "  --color WHEN         auto, always or never\n"
    "  --version, --help\n"
    "\n"
    "Exit status: 0 done, 1 error, 2 usage, 3 no such device, 4 out of memory, 130 interrupted,\n"
    "143 ended by SIGTERM.\n";

/* --- the command line ---------------------------------------------------------------------------------- */

/* "--name value" or "--name=value": the value, advancing *i; NULL when it is missing. */
static const char *value_of(char **argv, int argc, int *i, const char *equals)
{
    if (equals)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static int unknown_option(const char *name)
{
    static const char *const names[] = {"--device", "--threads", "--seed",    "--progress",
                                        "--color",  "--quiet",   "--version", "--help"};
    struct suggest s = {.wanted = name};
    char hint[80];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        suggest_try(&s, names[i]);
    suggest_hint(&s, hint, sizeof hint);
    return fail(ERR_ARG, "unknown option '%.60s'%s", name,
                *hint ? hint : "; hint: lorash --help lists the options");
}

static int read_long(struct settings *s, char **argv, int argc, int *i)
{
    struct {
        const char *name;
        const char **value;
    } with_value[] = {
        {"--device", &s->device},     {"--threads", &s->threads}, {"--seed", &s->seed},
        {"--progress", &s->progress}, {"--color", &s->color},
    };
    char *word = argv[*i], *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    for (size_t k = 0; k < sizeof with_value / sizeof with_value[0]; k++)
        if (strlen(with_value[k].name) == n && !memcmp(with_value[k].name, word, n)) {
            const char *value = value_of(argv, argc, i, equals);
            if (!value)
                return fail(ERR_ARG, "%s wants a value", with_value[k].name);
            *with_value[k].value = value;
            return OK;
        }
    if (!strcmp(word, "--version"))
        s->version = true;
    else if (!strcmp(word, "--help"))
        s->help = true;
    else if (!strcmp(word, "--quiet"))
        s->quiet = true;
    else
        return unknown_option(word);
    return OK;
}

static int read_settings(struct settings *s, int argc, char **argv)
{
    *s = (struct settings){0};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || !word[1]) {
            s->file = word;
            s->arguments = argv + i + 1;
            s->argument_count = argc - i - 1;
            return OK;
        }
        if (!strcmp(word, "-e")) {
            if (++i >= argc)
                return fail(ERR_ARG, "-e wants code");
            if (s->codes == 64)
                return fail(ERR_ARG, "more than 64 times -e");
            s->code[s->codes++] = argv[i];
        } else if (!strcmp(word, "-i")) {
            s->stay = true;
        } else if (!strcmp(word, "-q")) {
            s->quiet = true;
        } else if (!strcmp(word, "-h")) {
            s->help = true;
        } else if (!strcmp(word, "-v")) {
            s->version = true;
        } else if (word[1] == '-') {
            TRY(read_long(s, argv, argc, &i));
        } else {
            return unknown_option(word);
        }
    }
    return OK;
}

static int read_number(const char *name, const char *text, unsigned long long least,
                       unsigned long long most, unsigned long long *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || *text == '-' || errno || value < least || value > most)
        return fail(ERR_ARG, "%s wants a whole number from %llu to %llu, found '%.40s'", name,
                    least, most, text);
    *out = value;
    return OK;
}

static int apply_settings(const struct settings *s)
{
    unsigned long long threads = 0, seed = 42;
    if (s->threads)
        TRY(read_number("--threads", s->threads, 1, POOL_MAX_THREADS, &threads));
    if (s->seed)
        TRY(read_number("--seed", s->seed, 0, UINT64_MAX, &seed));
    TRY(terminal_open(s->progress, s->color));
    bind_host.quiet = s->quiet;
    bind_host.seed = seed;
    bind_host.device_name = s->device;
    return pool_new((int)threads, &bind_host.pool);
}

/* --- running ------------------------------------------------------------------------------------------- */

/* The function on the stack with 'count' arguments above it; its exit code. */
static int run_function(lua_State *L, int count)
{
    int base = lua_gettop(L) - count;
    lua_pushcfunction(L, errors_handler);
    lua_insert(L, base);
    interrupt_begin(L);
    int status = lua_pcall(L, count, 0, base);
    interrupt_end(L);
    bind_terminal.live(NULL);
    int code = status == LUA_OK ? -1 : errors_print(L);
    lua_settop(L, base - 1);
    return bind_terminated ? 128 + bind_terminated : code;
}

/* Compiles and runs a text; -1 = went well, else the exit code. */
static int run_text(lua_State *L, const char *text, size_t length, const char *chunk_name,
                    const struct settings *s)
{
    errors_add_source(chunk_name, text, length);
    char *blank = NULL;
    if (length && *text == '#') { /* #!/usr/bin/env lorash: the line stays, as a comment */
        blank = mem_text(text, length);
        if (!blank)
            return NO_MEMORY;
        for (size_t i = 0; i < length && blank[i] != '\n'; i++)
            blank[i] = i < 2 ? '-' : ' ';
    }
    int status = open_load(L, blank ? blank : text, length, chunk_name);
    mem_free(blank);
    if (status != LUA_OK) {
        if (status != LUA_ERRMEM)
            errors_syntax(L, chunk_name, lua_tostring(L, -1));
        return errors_print(L);
    }
    int count = s ? s->argument_count : 0;
    if (!lua_checkstack(L, count + 10))
        return NO_MEMORY;
    for (int i = 0; i < count; i++)
        lua_pushstring(L, s->arguments[i]);
    return run_function(L, count);
}

static int report(int code)
{
    char line[1200];
    int n = snprintf(line, sizeof line, "%serror: %s%s\n", terminal_style(STYLE_RED, true),
                     status_message(), terminal_style(STYLE_PLAIN, true));
    terminal_error(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    return code;
}

/* Standard input to its end; it may be a pipe, which the file layer does not read. */
static int read_input(char **out, size_t *length)
{
    char *text = NULL;
    int64_t room = 0, n = 0;
    for (;;) {
        if (mem_grow((void **)&text, &room, n + 65536, 1)) {
            mem_free(text);
            return ERR_MEMORY;
        }
        size_t got = fread(text + n, 1, 65535, stdin);
        n += (int64_t)got;
        if (!got)
            break;
    }
    text[n] = '\0';
    *out = text;
    *length = (size_t)n;
    return OK;
}

static int run_file(lua_State *L, const struct settings *s)
{
    char *text, name[1040];
    size_t length;
    bool input = !strcmp(s->file, "-");
    int status = input ? read_input(&text, &length) : file_read(s->file, 0, &text, &length);
    if (status)
        return report(status == ERR_MEMORY ? NO_MEMORY : FAILED);
    if (input)
        snprintf(name, sizeof name, "=stdin");
    else
        snprintf(name, sizeof name, "@%s", s->file);
    int code = run_text(L, text, length, name, s);
    mem_free(text);
    return code;
}

/* The table arg, and where modules come from. */
static int set_arguments(lua_State *L)
{
    const struct settings *s = lua_touserdata(L, 1);
    lua_createtable(L, s->argument_count, 1);
    lua_pushstring(L, s->file ? s->file : "lorash");
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < s->argument_count; i++) {
        lua_pushstring(L, s->arguments[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
    if (s->file && strcmp(s->file, "-"))
        open_recipe_folder(L, s->file);
    interrupt_open(L);
    return probe_open(L);
}

/* Everything that was asked for, in order: -e, the file, the shell. */
static int run_all(lua_State *L, const struct settings *s)
{
    int code = -1;
    lua_pushcfunction(L, set_arguments);
    lua_pushlightuserdata(L, (void *)(uintptr_t)s);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        return errors_print(L);
    for (int i = 0; i < s->codes && code < 0; i++)
        code = run_text(L, s->code[i], strlen(s->code[i]), "=(command line)", NULL);
    if (code < 0 && s->file)
        code = run_file(L, s);
    if (s->stay || (!s->codes && !s->file))
        return s->stay && code >= 0 && !isatty(0) ? code : repl_run(L);
    return code < 0 ? DONE : code;
}

static int leave(lua_State *L, int code)
{
    if (!terminal_flush() && code == DONE) {
        fail(ERR_IO, "standard output: %s", strerror(errno));
        code = report(FAILED);
    }
    open_close(L);
    errors_close();
    runtime_close();
    pool_free(bind_host.pool);
    if (getenv("LORASH_CHECK_LEAKS") && mem_stats().live_blocks) {
        fprintf(stderr, "lorash: %lld blocks were not released\n",
                (long long)mem_stats().live_blocks);
        code = FAILED;
    }
    return code;
}

static int print_version(void)
{
    printf("lorash %s, %s%s\nSources: Apache-2.0.%s\n", LORASH_VERSION, LUA_RELEASE,
           HAVE_READLINE ? ", GNU Readline" : ", without Readline",
           HAVE_READLINE
               ? " GNU Readline is under the GPL, so a binary linked with it as a\nwhole is "
                 "GPL-3.0-or-later; 'make READLINE=0' builds without it."
               : "");
    return DONE;
}

int main(int argc, char **argv)
{
    struct settings s;
    const char *fault = getenv("LORASH_FAIL_AT"); /* tests: the n-th allocation fails */
    mem_fail_at(fault ? atoi(fault) : 0, 0);
    setlocale(LC_CTYPE, "");
    terminal_open(NULL, NULL);
    if (read_settings(&s, argc, argv))
        return report(USAGE);
    if (s.version)
        return print_version();
    if (s.help) {
        fputs(help_page, stdout);
        return DONE;
    }
    if (!s.codes && !s.file && !s.stay && !isatty(0))
        s.file = "-"; /* lorash < recipe.lua */
    int status = apply_settings(&s);
    if (status)
        return report(status == ERR_MEMORY ? NO_MEMORY : USAGE);
    lua_State *L = NULL;
    if (s.device && device_open(s.device, bind_host.pool, &bind_host.device))
        return leave(L, report(NO_DEVICE));
    if (open_state(&L))
        return leave(L, report(status_code() == ERR_MEMORY ? NO_MEMORY : FAILED));
    return leave(L, run_all(L, &s));
}
