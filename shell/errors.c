/* errors.c -- where it happened, in whose words, and what was probably meant.
 *
 * The handler runs at the point of the error, before the stack is unwound, and writes into static
 * storage: it works without memory too. Frames of C and of the embedded Lua half are left out. */
#include "shell/errors.h"
#include "engine/core/file.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "shell/cell.h"
#include "shell/lex.h"
#include "shell/python.h"
#include "shell/terminal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 12
#define SOURCES_KEPT 2000 /* texts of cells and files, for showing the line of an error */

struct frame {
    char source[256]; /* chunk name with its '=' or '@' */
    char name[64];    /* of the function, "" = the chunk itself */
    int line;
};

static struct {
    char message[4096];
    size_t at, length; /* what to underline in the first frame's source; 0 bytes = look for the name
                          that the message quotes */
    struct frame frames[FRAMES];
    int count;
    int code;
} report;

struct source {
    char *name, *text;
    size_t length;
};
static struct source *sources;
static int64_t source_count, source_capacity;

/* --- sources ------------------------------------------------------------------------------------- */

static struct source *find_source(const char *name)
{
    for (int64_t i = source_count; i-- > 0;)
        if (!strcmp(sources[i].name, name))
            return &sources[i];
    return NULL;
}

/* Forgets the oldest cell once there are many: an error in a function of it then shows no line. */
static void forget_old(void)
{
    int64_t i = 0;
    if (source_count < SOURCES_KEPT)
        return;
    while (i < source_count && strncmp(sources[i].name, "=[", 2))
        i++;
    if (i == source_count)
        return;
    mem_free(sources[i].name);
    mem_free(sources[i].text);
    source_count--;
    memmove(sources + i, sources + i + 1, (size_t)(source_count - i) * sizeof *sources);
}

void errors_add_source(const char *chunk_name, const char *text, size_t length)
{
    forget_old();
    if (mem_grow((void **)&sources, &source_capacity, source_count + 1, sizeof *sources))
        return;
    struct source s = {mem_text(chunk_name, strlen(chunk_name)), mem_text(text, length), length};
    if (s.name && s.text) {
        sources[source_count++] = s;
    } else {
        mem_free(s.name);
        mem_free(s.text);
    }
}

void errors_close(void)
{
    for (int64_t i = 0; i < source_count; i++) {
        mem_free(sources[i].name);
        mem_free(sources[i].text);
    }
    mem_free(sources);
    sources = NULL;
    source_count = source_capacity = 0;
}

/* The text of a chunk; modules are read again from their file. */
static const struct source *load_source(const char *name)
{
    const struct source *s = find_source(name);
    char *text;
    size_t length;
    if (s || *name != '@' || file_read(name + 1, 1 << 22, &text, &length))
        return s;
    errors_add_source(name, text, length);
    mem_free(text);
    return find_source(name);
}

/* --- looking at the stack ------------------------------------------------------------------------- */

static bool user_frame(const lua_Debug *ar)
{
    return ar->currentline > 0 && strncmp(ar->source, "=lorash.", 8) != 0;
}

/* "chunk:12: " in front of the message, when it is this frame's; its length. */
static size_t position_length(const char *message, const lua_Debug *ar)
{
    char prefix[LUA_IDSIZE + 32];
    int n = snprintf(prefix, sizeof prefix, "%s:%d: ", ar->short_src, ar->currentline);
    return strncmp(message, prefix, (size_t)n) ? 0 : (size_t)n;
}

/* Fills report.frames; strips the position from the message, and lets the frame that the message
 * names come first: error("...", 2) blames the caller. */
static void walk_stack(lua_State *L)
{
    lua_Debug ar;
    bool stripped = false;
    report.count = 0;
    for (int level = 1; lua_getstack(L, level, &ar) && report.count < FRAMES; level++) {
        if (!lua_getinfo(L, "Sln", &ar) || !user_frame(&ar))
            continue;
        struct frame *f = &report.frames[report.count++];
        snprintf(f->source, sizeof f->source, "%s", ar.source);
        snprintf(f->name, sizeof f->name, "%s", ar.name && *ar.what == 'L' ? ar.name : "");
        f->line = ar.currentline;
        size_t n = stripped ? 0 : position_length(report.message, &ar);
        if (n) {
            stripped = true;
            memmove(report.message, report.message + n, strlen(report.message + n) + 1);
            report.frames[0] = *f;
            report.count = 1;
        }
    }
}

/* Pushes the value that 'name' has in the frame: local, upvalue or global; raw. */
static bool push_named(lua_State *L, lua_Debug *ar, const char *name)
{
    const char *local;
    int found = 0;
    for (int i = 1; (local = lua_getlocal(L, ar, i)); i++) {
        if (!strcmp(local, name))
            found = i; /* the last one of a name is the visible one */
        lua_pop(L, 1);
    }
    if (found)
        return lua_getlocal(L, ar, found) != NULL;
    lua_getinfo(L, "f", ar);
    for (int i = 1; (local = lua_getupvalue(L, -1, i)); i++) {
        if (!strcmp(local, name)) {
            lua_remove(L, -2);
            return true;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    return true;
}

/* Suggests among the fields of the value on top of the stack (raw; texts: the string library). */
static void hint_among(lua_State *L, const char *wanted, char *out, size_t bytes)
{
    out[0] = '\0';
    if (lua_type(L, -1) == LUA_TSTRING) {
        lua_pushglobaltable(L);
        lua_pushliteral(L, "string");
        lua_rawget(L, -2);
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
    if (!lua_istable(L, -1))
        return;
    struct suggest s = {.wanted = wanted};
    char names[160] = "";
    size_t used = 0;
    int count = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            continue;
        const char *key = lua_tostring(L, -2);
        suggest_try(&s, key);
        if (count++ < 8 && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     count > 1 ? ", " : "", key);
    }
    suggest_hint(&s, out, bytes);
    if (!s.best && count > 0 && count <= 8 && used < sizeof names)
        snprintf(out, bytes, "; hint: it has %s", names);
}

/* The line's "owner.wanted" or "owner:wanted": copies the owner's name. */
static bool find_owner(const struct frame *f, const char *wanted, char *owner, size_t bytes)
{
    const struct source *s = load_source(f->source);
    if (!s)
        return false;
    struct lex l = {s->text, s->text + s->length};
    struct lex_token before[2] = {{0}, {0}};
    const char *at = s->text;
    int line = 1;
    for (struct lex_token t = lex_code(&l); t.kind != LEX_END; t = lex_code(&l)) {
        for (; at < t.start; at++)
            line += *at == '\n';
        if (line >= f->line && lex_is(&t, wanted) && before[0].kind == LEX_NAME &&
            (lex_is(&before[1], ".") || lex_is(&before[1], ":"))) {
            snprintf(owner, bytes, "%.*s", (int)before[0].length, before[0].start);
            return true;
        }
        before[0] = before[1];
        before[1] = t;
    }
    return false;
}

/* Copies the text between the first quotes of 'message' after 'from'. */
static bool quoted_after(const char *message, const char *from, char *out, size_t bytes)
{
    const char *p = strstr(message, from);
    if (!p)
        return false;
    p += strlen(from);
    const char *end = strchr(p, '\'');
    if (!end || (size_t)(end - p) >= bytes)
        return false;
    snprintf(out, bytes, "%.*s", (int)(end - p), p);
    return true;
}

/* Does the source line hold this text? */
static bool line_has(const struct frame *f, const char *what)
{
    const struct source *s = load_source(f->source);
    if (!s)
        return false;
    const char *p = s->text, *end = s->text + s->length;
    for (int line = 1; line < f->line; line++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p++)
            return false;
    }
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    return memmem(p, (size_t)((stop ? stop : end) - p), what, strlen(what)) != NULL;
}

static void append(const char *text)
{
    size_t n = strlen(report.message);
    snprintf(report.message + n, sizeof report.message - n, "%s", text);
}

/* Adds what was probably meant to Lua's own run-time messages. */
static void explain(lua_State *L)
{
    char wanted[80], owner[80], hint[256];
    const char *m = report.message;
    const struct frame *f = &report.frames[0];
    if (!report.count)
        return;
    if (!strncmp(m, "undefined global '", 18) && strchr("frbu", m[18]) && m[19] == '\'') {
        char quoted[4] = {m[18], '"', 0}, single[4] = {m[18], '\'', 0};
        if (line_has(f, quoted) || line_has(f, single))
            snprintf(
                report.message, sizeof report.message, "%s",
                m[18] == 'f'
                    ? "undefined global 'f'; in Lua write fmt(\"{name}\", row)"
                    : "a letter before a text means nothing; in Lua write [[...]] for raw text");
        return;
    }
    bool nil = strstr(m, "a nil value") != NULL;
    if (nil && (quoted_after(m, "(field '", wanted, sizeof wanted) ||
                quoted_after(m, "(method '", wanted, sizeof wanted))) {
        if (*wanted == '?') {
            if (line_has(f, "[0]"))
                append("; hint: positions count from 1, so [0] is nil");
            return;
        }
        lua_Debug ar;
        int level = 1;
        while (lua_getstack(L, level, &ar) && lua_getinfo(L, "Sl", &ar) && !user_frame(&ar))
            level++;
        if (find_owner(f, wanted, owner, sizeof owner)) {
            if (!push_named(L, &ar, owner))
                return;
        } else if (strstr(m, "(method '")) {
            lua_pushliteral(L, ""); /* ("x"):uper(): most likely a text's method */
        } else {
            return;
        }
        hint_among(L, wanted, hint, sizeof hint);
        lua_pop(L, 1);
        append(hint);
        return;
    }
    if (strstr(m, "attempt to call a table value") && strstr(m, "for iterator"))
        append("; hint: for k, v in pairs(t) do, or ipairs for a list");
    else if (strstr(m, "arithmetic on a string value"))
        append("; hint: texts are joined with ..");
    else if (nil && line_has(f, "[0]"))
        append("; hint: positions count from 1, so [0] is nil");
}

static int code_of(const char *message)
{
    if (!strcmp(message, "interrupted"))
        return 130;
    if (!strcmp(message, "not enough memory"))
        return 4;
    if (strcmp(message, status_message()) != 0)
        return 1;
    return status_code() == ERR_DEVICE ? 3 : status_code() == ERR_MEMORY ? 4 : 1;
}

static int fill_report(lua_State *L)
{
    report.length = 0;
    if (lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TNUMBER ||
        luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
        lua_settop(L, 1);
        snprintf(report.message, sizeof report.message, "%s", luaL_tolstring(L, 1, NULL));
    } else {
        char found[80];
        snprintf(report.message, sizeof report.message, "the error value is %s, not a text",
                 bind_describe(L, 1, found, sizeof found));
    }
    report.code = code_of(report.message);
    walk_stack(L);
    explain(L);
    return 0;
}

int errors_handler(lua_State *L)
{
    lua_settop(L, 1);
    fill_report(L);
    lua_settop(L, 1);
    return 1;
}

/* --- syntax errors -------------------------------------------------------------------------------- */

/* (text, length): can this not become correct, whatever follows? */
static int is_wrong(lua_State *L)
{
    struct cell cell;
    const char *text = lua_touserdata(L, 1);
    size_t length = (size_t)lua_tointeger(L, 2);
    lua_pushboolean(L, cell_compile(L, text, length, "=cell", false, &cell) == CELL_WRONG);
    return 1;
}

/* Where the compiler stopped: the first of the tokens 'near' on the line after which it no longer
 * waits for more text. It tells the line only, and "x = = 1" has two of them. */
static void find_near(lua_State *L, const struct source *s, int line, const char *near)
{
    struct lex l = {s->text, s->text + s->length};
    const char *at = s->text;
    int now = 1;
    for (struct lex_token t = lex_next(&l); t.kind != LEX_END; t = lex_next(&l)) {
        for (; at < t.start; at++)
            now += *at == '\n';
        if (now > line)
            return;
        if (now < line || t.length != strlen(near) || memcmp(t.start, near, t.length))
            continue;
        report.at = (size_t)(t.start - s->text);
        report.length = t.length;
        lua_pushcfunction(L, is_wrong);
        lua_pushlightuserdata(L, (void *)(uintptr_t)s->text);
        lua_pushinteger(L, (lua_Integer)(report.at + t.length));
        bool stopped = lua_pcall(L, 2, 1, 0) != LUA_OK || lua_toboolean(L, -1);
        lua_pop(L, 1);
        if (stopped)
            return;
    }
}

/* Splits "chunk:3: text"; chunk names may hold colons too. Returns the text, *line 0 if none. */
static const char *split_position(const char *message, int *line)
{
    *line = 0;
    for (const char *colon = strchr(message, ':'); colon; colon = strchr(colon + 1, ':')) {
        char *end;
        long n = strtol(colon + 1, &end, 10);
        if (end > colon + 1 && !strncmp(end, ": ", 2)) {
            *line = (int)n;
            return end + 2;
        }
    }
    return message;
}

void errors_syntax(lua_State *L, const char *chunk_name, const char *message)
{
    int line;
    char near[80];
    report.count = 0;
    report.length = 0;
    report.code = 1;
    snprintf(report.message, sizeof report.message, "%s", split_position(message, &line));
    const struct source *s = load_source(chunk_name);
    if (!line || !s)
        return;
    struct frame *f = &report.frames[report.count++];
    snprintf(f->source, sizeof f->source, "%s", chunk_name);
    f->name[0] = '\0';
    f->line = line;
    const char *opened = strstr(report.message, "(to close '");
    if (opened && strstr(report.message, "<eof>")) { /* the end of the text shows nothing */
        const char *at = strstr(opened, "at line ");
        if (at && quoted_after(opened, "(to close '", near, sizeof near)) {
            f->line = atoi(at + 8);
            find_near(L, s, f->line, near);
        }
        return;
    }
    struct python_hint h = python_look(s->text, s->length, line);
    if (!h.hint) {
        if (quoted_after(report.message, "near '", near, sizeof near))
            find_near(L, s, line, near);
        return;
    }
    f->line = 1;
    for (const char *q = s->text; q < h.start; q++)
        f->line += *q == '\n';
    append("; ");
    append(h.hint);
    report.at = (size_t)(h.start - s->text);
    report.length = h.length;
}

/* --- printing ------------------------------------------------------------------------------------- */

/* Where to underline: a token (or the inside of a short text) equal to 'word', on line 'from' or up
 * to 40 lines below (an option of a call that began there). */
static const char *find_word(const struct source *s, const char *word, int from, int *line,
                             size_t *length)
{
    struct lex l = {s->text, s->text + s->length};
    const char *at = s->text;
    size_t n = strlen(word);
    *line = 1;
    for (struct lex_token t = lex_next(&l); t.kind != LEX_END; t = lex_next(&l)) {
        for (; at < t.start; at++)
            *line += *at == '\n';
        if (*line > from + 40)
            return NULL;
        if (*line < from || t.kind == LEX_COMMENT)
            continue;
        bool text = t.kind == LEX_STRING && t.length == n + 2 && !memcmp(t.start + 1, word, n);
        if (text || (t.length == n && !memcmp(t.start, word, n))) {
            *length = text ? t.length : n;
            return t.start;
        }
    }
    return NULL;
}

/* The name in quotes that the source may show: of the message's, the first that is found. */
static const char *find_named(const struct source *s, int from, int *line, size_t *length)
{
    for (const char *p = strchr(report.message, '\''); p; p = strchr(p + 1, '\'')) {
        char word[80];
        const char *end = strchr(p + 1, '\'');
        if (!end || end == p + 1 || (size_t)(end - p - 1) >= sizeof word)
            continue;
        snprintf(word, sizeof word, "%.*s", (int)(end - p - 1), p + 1);
        const char *at = find_word(s, word, from, line, length);
        if (at)
            return at;
    }
    for (const char *p = report.message;
         *p;) { /* "TrainingArguments: lora_dropout = 8.95 is ..." */
        size_t n = 0;
        while (isalnum((unsigned char)p[n]) || p[n] == '_')
            n++;
        char word[80];
        bool member = p > report.message && p[-1] == '.'; /* "DataFrame.head wants its ..." */
        if (n > 3 && n < sizeof word && (member || memchr(p, '_', n))) {
            snprintf(word, sizeof word, "%.*s", (int)n, p);
            const char *at = find_word(s, word, from, line, length);
            if (at)
                return at;
        }
        p += n ? n : 1;
    }
    return NULL;
}

static void print(const char *text)
{
    terminal_error(text, strlen(text));
}

/* Source text with tabs and control characters as one column each. */
static void print_clean(const char *p, size_t n)
{
    char line[512];
    if (n >= sizeof line)
        n = sizeof line - 1;
    for (size_t i = 0; i < n; i++)
        line[i] = (unsigned char)p[i] < ' ' ? ' ' : p[i];
    terminal_error(line, n);
}

/* "  [6]:1  source" and "~~~" below 'word' (NULL: nothing to underline). */
static void print_source(const char *label, const char *p, size_t n, const char *word,
                         size_t length)
{
    int avail = terminal_width() - (int)strlen(label) - 2, used;
    if (avail < 20)
        avail = 20;
    const char *end = p + n;
    while (p < end && p != word && isspace((unsigned char)*p))
        p++;
    terminal_fit(p, word ? (size_t)(word + length - p) : 0, 1 << 20, &used);
    bool cut = word && used > avail;
    if (cut) { /* keep the word in sight */
        int lead;
        p += terminal_fit(p, (size_t)(word - p), used - avail / 2, &lead);
        if (p > word)
            p = word;
    }
    size_t shown = terminal_fit(p, (size_t)(end - p), avail - (cut ? 3 : 0), &used);
    print(label);
    print(cut ? "..." : "");
    print_clean(p, shown);
    print("\n");
    if (!word)
        return;
    char marks[512];
    terminal_fit(p, (size_t)(word - p), 400, &used);
    int at = (int)strlen(label) + (cut ? 3 : 0) + used;
    terminal_fit(word, length, 80, &used);
    snprintf(marks, sizeof marks, "%*s%s%.*s%s\n", at, "", terminal_style(STYLE_RED, true), used,
             "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
             terminal_style(STYLE_PLAIN, true));
    print(marks);
}

static void print_place(const struct frame *f)
{
    const struct source *s = load_source(f->source);
    int line = f->line;
    char label[300];
    size_t length = 0;
    const char *word = NULL;
    if (s && report.length) {
        word = s->text + report.at;
        length = report.length;
    } else if (s) {
        word = find_named(s, f->line, &line, &length);
    }
    if (!word || report.length)
        line = f->line;
    snprintf(label, sizeof label, "  %s:%d  ", f->source + 1, line);
    if (!s) {
        label[strlen(label) - 2] = '\0';
        print(label);
        print("\n");
        return;
    }
    const char *p = s->text, *end = s->text + s->length;
    for (int i = 1; i < line && p; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    if (!p)
        p = end;
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    print_source(label, p, (size_t)((stop ? stop : end) - p), word, length);
}

void errors_print_frames(void)
{
    char line[400];
    if (!report.count)
        print("      no error yet\n");
    for (int i = 0; i < report.count; i++) {
        const struct frame *f = &report.frames[i];
        snprintf(line, sizeof line, "  %s:%d%s%s\n", f->source + 1, f->line,
                 *f->name ? "  in " : "", f->name);
        print(line);
    }
}

int errors_print(lua_State *L)
{
    int code;
    const char *message;
    if (bind_exit_code(L, -1, &code, &message)) {
        if (*message) {
            print(terminal_style(STYLE_RED, true));
            print("error: ");
            print(message);
            print(terminal_style(STYLE_PLAIN, true));
            print("\n");
        }
        lua_pop(L, 1);
        return code;
    }
    if (lua_type(L, -1) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "not enough memory")) {
        report.count = 0; /* raised without a call of the handler */
        report.code = 4;
        snprintf(report.message, sizeof report.message,
                 "out of memory; hint: set what is no longer needed to nil");
    }
    lua_pop(L, 1);
    print(terminal_style(STYLE_RED, true));
    print(report.code == 130 ? terminal_is_interactive() ? "\n" : "" : "error: "); /* after ^C */
    print(report.message);
    print(terminal_style(STYLE_PLAIN, true));
    print("\n");
    if (report.count)
        print_place(&report.frames[0]);
    for (int i = 1; i < report.count && i < 4; i++) {
        char line[400];
        const struct frame *f = &report.frames[i];
        snprintf(line, sizeof line, "%s  called from %s:%d%s\n", terminal_style(STYLE_DIM, true),
                 f->source + 1, f->line, terminal_style(STYLE_PLAIN, true));
        print(line);
    }
    return report.code;
}
