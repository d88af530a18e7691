/* repl.c -- the prompt.
 *
 * User code runs in protected calls only, and so does printing, since an object's __tostring is
 * user code as well. After any error the state is as the failed cell left it. */
#include "shell/repl.h"
#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "lua/trainer.h"
#include "shell/cell.h"
#include "shell/commands.h"
#include "shell/errors.h"
#include "shell/input.h"
#include "shell/interrupt.h"
#include "shell/show.h"
#include "shell/terminal.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define RESULTS_KEPT 1000 /* texts and numbers of Out; larger things are held weakly */

static int cell_number = 1;
static bool told_local;

/* --- compiling --------------------------------------------------------------------------------------- */

struct job {
    const char *text;
    size_t length;
    const char *chunk_name;
    struct cell cell;
    enum cell_state state;
    bool promote;
};

static int compile_job(lua_State *L)
{
    struct job *j = lua_touserdata(L, 1);
    lua_settop(L, 0);
    j->state = cell_compile(L, j->text, j->length, j->chunk_name, j->promote, &j->cell);
    return lua_gettop(L);
}

/* Runs compile_job protected: the stack grows by its result. False without memory (message pushed). */
static bool compile(lua_State *L, struct job *j)
{
    lua_pushcfunction(L, compile_job);
    lua_pushlightuserdata(L, j);
    return lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK;
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\n\r");
}

/* Asked at every Enter: nothing and commands are complete; so is what cannot become correct. */
static bool is_complete(lua_State *L, const char *text, size_t length)
{
    const char *start = skip_blanks(text);
    if (!*start || commands_match(start))
        return true;
    int top = lua_gettop(L);
    if (*start == '=')
        start++;
    struct job j = {start, length - (size_t)(start - text), "=cell", {0}, CELL_WRONG, false};
    bool ok = compile(L, &j);
    lua_settop(L, top);
    return !ok || j.state != CELL_UNFINISHED;
}

/* --- printing ---------------------------------------------------------------------------------------- */

/* (values...): prints them, keeps the first in _ and Out[n]. */
static int show_results(lua_State *L)
{
    int n = lua_gettop(L);
    lua_pushglobaltable(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "_");
    lua_getfield(L, -1, "Out");
    if (lua_istable(L, -1) && !lua_isnil(L, 1)) {
        static int oldest = 1;
        lua_pushvalue(L, 1);
        lua_rawseti(L, -2, cell_number);
        for (; oldest <= cell_number - RESULTS_KEPT; oldest++) {
            lua_pushnil(L);
            lua_rawseti(L, -2, oldest);
        }
    }
    lua_settop(L, n);
    int width = terminal_width();
    for (int i = 1; i <= n; i++) {
        show_value(L, i, width);
        size_t length;
        const char *text = lua_tolstring(L, -1, &length);
        bool dim = lua_isnil(L, i);
        if (dim)
            terminal_write(terminal_style(STYLE_DIM, false),
                           strlen(terminal_style(STYLE_DIM, false)));
        terminal_write(text, length);
        if (dim)
            terminal_write(terminal_style(STYLE_PLAIN, false),
                           strlen(terminal_style(STYLE_PLAIN, false)));
        terminal_write("\n", 1);
        lua_pop(L, 1);
    }
    return 0;
}

/* --- running ----------------------------------------------------------------------------------------- */

/* Prints the error on top of the stack; the cell's outcome. */
static int failed(lua_State *L)
{
    int code;
    const char *message;
    bool leave = bind_exit_code(L, -1, &code, &message);
    errors_print(L);
    return leave ? code : REPL_ERROR;
}

static void tell_local(lua_State *L, const struct cell *c)
{
    if (c->promoted && !told_local) {
        told_local = true;
        bind_note(L,
                  "note: a local outside blocks lasts for the session here, not only for its line");
    }
    if (c->kept)
        bind_note(L, "note: a local with <const> or <close> ends with its cell");
}

/* The compiled chunk is on top. */
static int run_chunk(lua_State *L, bool hide)
{
    lua_pushcfunction(L, errors_handler);
    int handler = lua_gettop(L) - 1;
    lua_insert(L, handler);
    interrupt_begin(L);
    int status = lua_pcall(L, 0, LUA_MULTRET, handler);
    int values = lua_gettop(L) - handler;
    if (status == LUA_OK && values > 0 && !hide) {
        if (lua_checkstack(L, 10)) {
            lua_pushcfunction(L, show_results);
            lua_insert(L, handler + 1);
            status = lua_pcall(L, values, 0, handler);
        }
    }
    interrupt_end(L);
    bind_terminal.live(NULL);
    return status == LUA_OK ? REPL_OK : failed(L);
}

int repl_lua(lua_State *L, const char *text, size_t length)
{
    char name[32];
    snprintf(name, sizeof name, "=[%d]", cell_number);
    errors_add_source(name, text, length);
    int top = lua_gettop(L), result;
    struct job j = {text, length, name, {0}, CELL_WRONG, true};
    if (!compile(L, &j)) {
        result = failed(L);
    } else if (j.state == CELL_READY) {
        tell_local(L, &j.cell);
        result = run_chunk(L, j.cell.hide);
    } else {
        errors_syntax(L, name,
                      j.state == CELL_WRONG ? lua_tostring(L, -1)
                                            : "the input ends before it is complete");
        lua_pushnil(L);
        result = failed(L);
    }
    lua_settop(L, top);
    cell_number++;
    return result;
}

int repl_cell(lua_State *L, const char *text, size_t length)
{
    const char *start = skip_blanks(text);
    if (!*start)
        return REPL_OK;
    if (commands_match(start))
        return commands_run(L, start);
    if (*start == '=') { /* stock Lua's old way to print */
        start++;
        length -= (size_t)(start - text);
        text = start;
    }
    return repl_lua(L, text, length);
}

/* --- the loop ---------------------------------------------------------------------------------------- */

static int make_out(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v"); /* weak: x = nil really frees a model that was printed once */
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setglobal(L, "Out");
    return 0;
}

static void banner(void)
{
    char text[300];
    const char *dot = bind_terminal.utf8 ? "·" : "-";
    int n =
        snprintf(text, sizeof text,
                 "lorash " LORASH_VERSION " %s " LUA_VERSION " %s %s (opened on first use) %s seed "
                 "%llu\nTab completes %s ?name explains %s Ctrl-C pauses training %s :help\n\n",
                 dot, dot, bind_host.device_name ? bind_host.device_name : "cpu", dot,
                 (unsigned long long)bind_host.seed, dot, dot, dot);
    terminal_write(text, (size_t)n);
}

int repl_run(lua_State *L)
{
    int result = REPL_OK;
    lua_pushcfunction(L, make_out);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK)
        lua_pop(L, 1); /* no memory: only Out is missing */
    input_open(L, is_complete);
    bind_host.interactive = terminal_is_interactive();
    if (!bind_host.quiet && bind_host.interactive)
        banner();
    while (result < 0 && !bind_terminated) {
        char prompt[32], *text;
        snprintf(prompt, sizeof prompt, "[%d]> ", cell_number);
        enum input_end end = input_read(L, prompt, &text);
        if (end == INPUT_EOF)
            break;
        if (end == INPUT_NO_MEMORY)
            terminal_error("error: out of memory while reading\n", 35);
        if (end == INPUT_TEXT) {
            result = repl_cell(L, text, strlen(text));
            mem_free(text);
        }
        terminal_flush();
    }
    input_close();
    if (bind_terminated) { /* a run that is paused behind this prompt is not lost */
        lua_pushcfunction(L, trainer_last_rescue);
        if (lua_pcall(L, 0, 0, 0) != LUA_OK)
            lua_pop(L, 1);
        result = 128 + bind_terminated;
    }
    return result < 0 ? 0 : result;
}
