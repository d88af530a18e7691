/* interrupt.c -- Ctrl-C stops Lua code, coroutines and engine loops alike.
 *
 * An always-on count hook would double the time of a tight loop, so the signal handler sets the
 * hook itself (lua_sethook is written to allow that) on the thread that runs now. The first press
 * raises "interrupted" once, and a pcall of the user may catch it; from the second press on the
 * hook stays armed until the prompt is back. The third offers the way out. SIGTERM and SIGHUP end
 * the program the same way, with what runs given the time to save. */
#include "shell/interrupt.h"
#include "lua/bind.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define EVENTS (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT)

static lua_State *volatile current; /* the running thread; NULL = no user code runs */
static lua_State *main_thread;
static volatile sig_atomic_t presses;

static void stop(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (bind_terminated) /* stays armed: no pcall holds it up */
        bind_exit(L, 128 + bind_terminated, "ended by signal %d", bind_terminated);
    if (presses < 2) {
        lua_sethook(L, NULL, 0, 0);
        if (L == main_thread)
            bind_interrupted = 0; /* delivered; in a coroutine its resumer must hear of it too */
    }
    lua_pushliteral(L, "interrupted");
    lua_error(L);
}

static void on_sigint(int signal_number)
{
    (void)signal_number;
    presses = bind_interrupt_taken ? 1 : presses + 1;
    bind_interrupt_taken = 0;
    bind_interrupted = presses;
    if (!current)
        return;
    lua_sethook(current, stop, EVENTS, 1);
    if (presses == 3) {
        static const char offer[] = "\nCtrl-C once more ends lorash\n";
        ssize_t n = write(2, offer, sizeof offer - 1);
        (void)n;
        signal(SIGINT, SIG_DFL);
    }
}

/* SIGTERM, SIGHUP: what runs saves what it has and ends. The next one ends at once. */
static void on_end(int signal_number)
{
    bind_terminated = signal_number;
    bind_interrupted = 3; /* also between the layers of a model */
    if (current)
        lua_sethook(current, stop, EVENTS, 1);
}

static void install_end(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_end;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, NULL, &action);
    if (action.sa_handler == SIG_IGN) /* nohup: the terminal's end does not matter */
        return;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_end;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGHUP, &action, NULL);
}

static void install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_sigint; /* no SA_RESTART: a read is to come back */
    sigaction(SIGINT, &action, NULL);
}

/* resume, close and the functions of wrap: upvalue 1 is the original. Runs it with 'thread' marked
 * as the running one; an interrupt that ended the coroutine goes on to whoever resumed it. */
static int run_thread(lua_State *L, lua_State *thread)
{
    lua_State *before = current;
    if (before && thread)
        current = thread;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    current = before;
    if (bind_interrupted && before)
        lua_sethook(L, stop, EVENTS, 1);
    if (status != LUA_OK)
        return lua_error(L);
    return lua_gettop(L);
}

static int tracked_resume(lua_State *L)
{
    return run_thread(L, lua_tothread(L, 1));
}

static int tracked_wrapped(lua_State *L)
{
    return run_thread(L, lua_tothread(L, lua_upvalueindex(2)));
}

/* coroutine.wrap(f): the original's function keeps its thread as first upvalue. */
static int tracked_wrap(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    if (!lua_getupvalue(L, -1, 1))
        return 1;
    lua_pushcclosure(L, tracked_wrapped, 2);
    return 1;
}

static void replace(lua_State *L, const char *name, lua_CFunction f)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

void interrupt_open(lua_State *L)
{
    main_thread = L;
    lua_getglobal(L, "coroutine");
    replace(L, "resume", tracked_resume);
    replace(L, "close", tracked_resume);
    replace(L, "wrap", tracked_wrap);
    lua_pop(L, 1);
    install();
    install_end();
}

void interrupt_begin(lua_State *L)
{
    presses = 0;
    bind_interrupt_taken = 0;
    bind_interrupted = bind_terminated ? 3 : 0;
    current = L;
}

void interrupt_end(lua_State *L)
{
    current = NULL;
    lua_sethook(L, NULL, 0, 0);
    if (presses >= 3)
        install();
    presses = 0;
    bind_interrupted = bind_terminated ? 3 : 0;
}
