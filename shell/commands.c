/* commands.c -- the small set of commands beside Lua.
 *
 * They begin with a character that cannot begin a Lua statement. Habits of other shells (exit,
 * quit, %timeit) are understood or answered. To add one: a function and a row in commands[]. */
#include "shell/commands.h"
#include "lua/bind.h"
#include "lua/help.h"
#include "shell/errors.h"
#include "shell/input.h"
#include "shell/interrupt.h"
#include "shell/repl.h"
#include "shell/terminal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static int usage(const char *message)
{
    terminal_error("error: ", 7);
    terminal_error(message, strlen(message));
    terminal_error("\n", 1);
    return REPL_ERROR;
}

static int protected_help(lua_State *L)
{
    help_print(L, lua_tostring(L, 1));
    return 0;
}

static int run_question(lua_State *L, const char *name)
{
    lua_pushcfunction(L, errors_handler);
    lua_pushcfunction(L, protected_help);
    lua_pushstring(L, name);
    int status = lua_pcall(L, 1, 0, -3);
    if (status != LUA_OK)
        errors_print(L);
    lua_pop(L, 1);
    return status == LUA_OK ? REPL_OK : REPL_ERROR;
}

static int run_help(lua_State *L, const char *rest)
{
    if (*rest)
        return run_question(L, rest);
    char line[200];
    for (const struct command *c = commands; c->name; c++) {
        int n = snprintf(line, sizeof line, "  %-24s %s\n", c->arguments, c->doc);
        terminal_write(line, (size_t)n);
    }
    static const char more[] =
        "  ?name or name?           explains a class, method, function or option\n"
        "  !command                 runs a command of the system\n"
        "  help()                   lists everything there is\n"
        "Tab completes. Enter runs what is complete, Alt-Enter breaks the line. Ctrl-C stops; "
        "Ctrl-D "
        "leaves.\n"
        "A cell's last value is printed (a final ; hides it) and kept in _ and Out[n].\n";
    terminal_write(more, sizeof more - 1);
    return REPL_OK;
}

static int run_quit(lua_State *L, const char *rest)
{
    (void)L, (void)rest;
    return 0;
}

static int run_time(lua_State *L, const char *rest)
{
    if (!*rest)
        return usage("':time' wants something to run; hint: :time df:describe()");
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int result = repl_lua(L, rest, strlen(rest));
    clock_gettime(CLOCK_MONOTONIC, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    if (result == REPL_OK) {
        if (s < 1e-3)
            bind_note(L, "%.0f us", s * 1e6);
        else if (s < 1)
            bind_note(L, "%.1f ms", s * 1e3);
        else
            bind_note(L, "%.2f s", s);
    }
    return result;
}

static int run_history(lua_State *L, const char *rest)
{
    (void)L;
    input_print_history(*rest ? rest : NULL);
    return REPL_OK;
}

static int run_traceback(lua_State *L, const char *rest)
{
    (void)L, (void)rest;
    errors_print_frames();
    return REPL_OK;
}

const struct command commands[] = {
    {"help", ":help [name]", "this list, or what ?name says", run_help},
    {"quit", ":quit", "leaves the shell (so does Ctrl-D)", run_quit},
    {"time", ":time code", "runs code and says how long it took", run_time},
    {"history", ":history [word]", "earlier cells, those with the word", run_history},
    {"tb", ":tb", "where the last error came from", run_traceback},
    {NULL, NULL, NULL, NULL},
};

static int run_system(lua_State *L, const char *line)
{
    (void)L;
    terminal_flush();
    int status = system(line); /* the person's own command line, on the real terminal */
    if (status == -1)
        return usage("the system's shell cannot be started");
    if (WIFEXITED(status) && WEXITSTATUS(status))
        bind_note(L, "exit status %d", WEXITSTATUS(status));
    return REPL_OK;
}

/* The text is one name with dots or a colon and '?' behind it. */
static bool ends_in_question(const char *text)
{
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    if (n < 2 || text[n - 1] != '?')
        return false;
    for (size_t i = 0; i + 1 < n; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("_.:?", text[i]))
            return false;
    return true;
}

static bool bare(const char *text, const char *word)
{
    size_t n = strlen(word);
    return !strncmp(text, word, n) && strspn(text + n, " \t\n()") == strlen(text + n);
}

bool commands_match(const char *text)
{
    if (*text == ':')
        return text[1] != ':'; /* ::label:: is Lua */
    return *text == '!' || *text == '?' || *text == '%' || ends_in_question(text) ||
           bare(text, "exit") || bare(text, "quit");
}

/* "?name", "??name", "name?" */
static int question(lua_State *L, const char *text)
{
    char name[256];
    text += strspn(text, "? ");
    size_t n = strcspn(text, "?\n");
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    snprintf(name, sizeof name, "%.*s", (int)n, text);
    return run_question(L, name);
}

int commands_run(lua_State *L, const char *text)
{
    if (*text == '?' || ends_in_question(text))
        return question(L, text);
    if (*text == '!')
        return run_system(L, text + 1);
    if (*text == '%')
        return usage("Jupyter's magic is not here; hint: :time, :history, :help, !command");
    if (*text != ':')
        return run_quit(L, "");
    char name[32];
    const char *p = text + 1;
    size_t n = 0;
    while (isalpha((unsigned char)p[n]))
        n++;
    snprintf(name, sizeof name, "%.*s", (int)n, p);
    p += n;
    p += strspn(p, " \t\n");
    for (const struct command *c = commands; c->name; c++)
        if (!strcmp(c->name, name) ||
            (n == 1 && *name == *c->name && strchr("qh", *name) && strcmp(c->name, "history") != 0))
            return c->run(L, p);
    char message[120];
    snprintf(message, sizeof message, "there is no command ':%s'; hint: :help lists them", name);
    return usage(message);
}
