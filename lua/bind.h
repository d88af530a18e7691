/* bind.h -- the binding pattern: the only bridge between engine status and Lua errors.
 *
 * A binding: push an empty userdata with its metatable, check arguments, call the engine, store
 * the result. Nothing that owns a resource lives in a C local across a Lua call that can raise:
 * resources live in userdata made first, released by __gc (idempotent; never calls Lua).
 *
 * A class is a const struct lua_class: methods, properties and documentation in one table. From it
 * come the metatable, "did you mean" for unknown members, the "use a colon" message, ?help, Tab
 * completion and the manual. */
#ifndef LUA_BIND_H
#define LUA_BIND_H

#include "engine/core/options.h"
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>

struct lua_method {
    const char *name;
    lua_CFunction call;
    const char *signature;              /* "df:head(n = 5)" */
    const char *doc;                    /* one or more sentences */
    const struct option_table *options; /* of its table argument, or NULL */
};

struct lua_property {
    const char *name;
    lua_CFunction get; /* (object) -> value */
    lua_CFunction set; /* (object, value); NULL = read only */
    const char *doc;
};

struct lua_class {
    const char *name;                 /* "DataFrame": metatable name and what type errors say */
    const char *doc;                  /* what it is, one paragraph */
    const struct lua_method *methods; /* ends with a NULL name */
    const struct lua_property *properties; /* ends with a NULL name; may be NULL */
    const struct lua_method *statics;      /* Class.from_x(...); ends with NULL; may be NULL */
    lua_CFunction construct;               /* Class(...) or Class{...}; may be NULL */
    const char *signature;                 /* of construct */
    const struct option_table *options;    /* of construct's table argument, or NULL */
    /* __gc, __len, __tostring, __add ...; ends with NULL; may be NULL. "__show" gives the text that
     * the prompt prints for an object when that differs from __tostring. */
    const luaL_Reg *meta;
    /* (object, key) for a key that is neither method nor property: push the value and return 1, or
     * return 0 for "no such member" (then the error with suggestions is raised). May be NULL. */
    int (*index)(lua_State *L);
    /* (object, key, value) for a key that is no property; return 1 if handled. May be NULL. */
    int (*newindex)(lua_State *L);
    /* offer further names (columns, keys) for suggestions and Tab; must not run Lua code */
    void (*names)(void *object, void (*offer)(void *ctx, const char *name), void *ctx);
};

/* Every class, NULL-terminated (lua/open.c): help, tests and the manual walk it. */
extern const struct lua_class *const lua_classes[];
/* Global functions (load_dataset, get_peft_model, help ...), NULL-terminated array of arrays,
 * each array ends with a NULL name (lua/open.c). */
extern const struct lua_method *const lua_functions[];

/* Every option table of the program, NULL-terminated (lua/open.c): help, manual and tests walk it. */
extern const struct option_table *const option_tables[];

/* A method's own upvalues are taken: (class, lua_method). Methods need no self check of their own
 * beyond bind_arg, since a call through a dot is refused before they run.
 *
 * Creates metatables and the globals; called once per state by lua/open.c. The class table
 * (lorash.DataFrame) is callable when 'construct' is set. */
void bind_class(lua_State *L, const struct lua_class *c);
void bind_function(lua_State *L, const struct lua_method *f);

/* Raises status_message() as a Lua error when status is not OK (does not return then). The error
 * is a table-free string; position is added by the error handler of shell/. ERR_CANCELLED raises
 * "interrupted". */
void bind_check(lua_State *L, int status);

/* Raises an error of our own: same form as fail(). */
int bind_error(lua_State *L, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Ends the program through the shell, which alone exits: raises a value that carries the exit code
 * and a message ("" = none). cli() uses it for --help (0) and usage errors (2). */
int bind_exit(lua_State *L, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* True when the error value at 'arg' is one of bind_exit; *message is valid while the value is. */
bool bind_exit_code(lua_State *L, int arg, int *code, const char **message);

/* Pushes a userdata of class 'c' of 'bytes' zeroed bytes, with one user value slot. */
void *bind_new(lua_State *L, const struct lua_class *c, size_t bytes);

/* The userdata at 'arg', or an error that says what was found and, when the first argument of a
 * method is missing, "use a colon: df:head(3)". */
void *bind_arg(lua_State *L, int arg, const struct lua_class *c);

/* The userdata at 'arg' when it is of class 'c', else NULL. */
void *bind_test(lua_State *L, int arg, const struct lua_class *c);

/* The class of the userdata at 'arg', or NULL when it is none of ours. */
const struct lua_class *bind_class_of(lua_State *L, int arg);

/* The class whose table (lorash.DataFrame) is at 'arg', or NULL. */
const struct lua_class *bind_class_table(lua_State *L, int arg);

/* The specification behind the function at 'arg' and its class (NULL for a global function), or
 * NULL when the function is not ours. Runs nothing. */
const struct lua_method *bind_method_of(lua_State *L, int arg, const struct lua_class **of);

/* What the value at 'arg' is, for messages: "a DataFrame", "the text 'abc'", "nil". Returns out. */
const char *bind_describe(lua_State *L, int arg, char *out, size_t bytes);

/* Fills 'config' (already options_init'ed and owned by a userdata) from the table at 'arg' (none or
 * nil = keep defaults). Aliases are accepted with a note where the row has one, unknown names
 * refused with a suggestion, NOTE rows print their note (once per session). OBJECT rows are left
 * to the caller (lua_getfield). Positional entries [1]... are left alone. */
void bind_options(lua_State *L, int arg, const struct option_table *table, void *config);

/* Value of option 'name' or any alias of it in the table at 'arg'; pushes it (nil if absent). */
void bind_field(lua_State *L, int arg, const struct option_table *table, const char *name);

/* 1-based index with negatives from the end, as the API's positions: returns 0-based in
 * [0, count), or raises ("index 0: positions count from 1"). */
int64_t bind_index(lua_State *L, int arg, int64_t count, const char *what);

/* Where print and io.write of Lua go: the shell's one writer, so that a live progress line and a
 * prompt survive output. Engine results that stream (generate) use it too. Default: stdout. */
void bind_write(const char *text, size_t length);
void bind_set_writer(void (*write)(const char *text, size_t length));

/* Status stream: a dim, indented line on stderr through the shell's one writer; the text is given
 * whole ("note: ...", "3,512 rows"). Never raises. 'quiet' (lorash -q) drops it. */
void bind_note(lua_State *L, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The shell sets where notes go (text without newline); default: stderr. */
void bind_set_note_writer(void (*write)(const char *text));

/* How often the user pressed Ctrl-C since the running cell or script began (0 = not). Long loops
 * poll it and return ERR_CANCELLED. Set by the shell's signal handler, which also arms a hook that
 * stops running Lua code. */
extern volatile int bind_interrupted;

/* For a call that answers Ctrl-C itself (training pauses, generation ends): forgets the interrupt
 * and disarms the hook, so that the Lua code after the call goes on. */
void bind_take_interrupt(lua_State *L);
/* SIGTERM or SIGHUP came (its number): the program is to end soon, with exit code 128 + number. Long
 * work saves what it has. bind_interrupted is set as well, and cannot be taken. */
extern volatile int bind_terminated;
extern volatile int bind_interrupt_taken; /* set by it: the next press counts as the first again */

/* The terminal as the shell found it. The defaults (no shell, tests) are a plain file. */
enum bind_progress {
    BIND_PROGRESS_NONE,
    BIND_PROGRESS_BAR,   /* a live line: use 'live' */
    BIND_PROGRESS_PLAIN, /* key=value lines through bind_write */
    BIND_PROGRESS_JSON,  /* one JSON object a line through bind_write */
};
struct bind_terminal {
    enum bind_progress progress; /* 'auto' is already resolved */
    bool color;                  /* escape sequences are welcome */
    bool utf8;                   /* else ASCII */
    int (*width)(void);          /* columns now; 80 when unknown */
    /* Shows 'text' (no newline, cut to the width) as the live line below all output, redrawn at most ten
     * times a second; NULL takes it away. Output that comes meanwhile scrolls above it. */
    void (*live)(const char *text);
    /* Sends on what was written so far: lines of a log that somebody follows, or that must not be
     * lost when the program is killed. NULL = it goes out at once. */
    void (*flush)(void);
};
extern struct bind_terminal bind_terminal;

/* The device and pool of the process, made by main (lua state's registry keeps nothing). */
struct device;
struct pool;
struct bind_host {
    struct device *device; /* opened on first use through bind_device */
    struct pool *pool;
    const char *device_name; /* --device */
    uint64_t seed;           /* --seed */
    bool quiet;
    bool interactive; /* a person sits at the prompt: texts are shown while they are made */
};
extern struct bind_host bind_host;
struct device *bind_device(lua_State *L); /* opens bind_host.device_name on first use; raises */

#endif
