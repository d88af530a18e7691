/* input.c -- chooses how cells are read, and reads them plainly.
 *
 * The plain reader takes whole lines until the cell is complete. It prompts only when a person is
 * there, so that a pipe into "lorash -i" gives nothing but results. */
#include "shell/input.h"
#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "shell/line.h"
#include "shell/terminal.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fancy;
static bool (*is_complete)(lua_State *L, const char *text, size_t length);

void input_open(lua_State *L, bool (*complete)(lua_State *L, const char *text, size_t length))
{
    is_complete = complete;
    fancy = terminal_is_interactive() && line_open(L, complete);
}

void input_close(void)
{
    if (fancy)
        line_close();
    fancy = false;
}

/* Length of "[12]> " at p, or 0. */
static size_t prompt_length(const char *p, const char *end)
{
    const char *q = p;
    if (q >= end || *q++ != '[')
        return 0;
    const char *digits = q;
    while (q < end && isdigit((unsigned char)*q))
        q++;
    if (q == digits || end - q < 2 || q[0] != ']' || q[1] != '>')
        return 0;
    q += 2;
    return (size_t)(q - p) + (q < end && *q == ' ');
}

size_t input_clean(char *text, size_t length)
{
    char *to = text;
    const char *p = text, *end = text + length;
    bool line_start = true;
    while (p < end) {
        size_t n = line_start ? prompt_length(p, end) : 0;
        p += n;
        line_start = false;
        if (p >= end)
            break;
        if (*p == '\r') { /* CR LF and CR alone are line ends */
            if (p + 1 < end && p[1] == '\n')
                p++;
            *to++ = '\n';
            line_start = true;
        } else {
            line_start = *p == '\n';
            *to++ = *p == '\t' ? ' ' : *p;
        }
        p++;
    }
    *to = '\0';
    return (size_t)(to - text);
}

/* Waits for a line of a person; false when Ctrl-C came first. The signal is taken only here, so that
 * none is lost between looking and sleeping. A terminal hands over single lines, so nothing waits in
 * the buffer of stdin meanwhile. */
static bool wait_for_line(void)
{
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGHUP);
    sigprocmask(SIG_BLOCK, &block, &before);
    struct pollfd p = {.fd = 0, .events = POLLIN};
    while (!bind_interrupted && ppoll(&p, 1, NULL, &before) < 0 && errno == EINTR)
        ;
    bool interrupted = bind_interrupted != 0;
    bind_interrupted = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !interrupted;
}

static enum input_end plain_read(lua_State *L, const char *prompt, char **out)
{
    char *text = NULL, *line = NULL;
    size_t room = 0, length = 0;
    enum input_end end = INPUT_EOF;
    bool person = isatty(0);
    for (bool first = true;; first = false) {
        if (person)
            terminal_write(first ? prompt : "  ", first ? strlen(prompt) : 2);
        if (person && !wait_for_line()) {
            terminal_write("\n", 1);
            end = INPUT_INTERRUPTED;
            break;
        }
        ssize_t n = getline(&line, &room, stdin);
        if (n < 0) { /* what is unfinished is returned and will be reported */
            end = text ? INPUT_TEXT : INPUT_EOF;
            break;
        }
        char *longer = mem_realloc(text, length + (size_t)n + 1);
        if (!longer) {
            end = INPUT_NO_MEMORY;
            break;
        }
        text = longer;
        memcpy(text + length, line, (size_t)n + 1);
        length = input_clean(text, length + (size_t)n);
        while (length && text[length - 1] == '\n')
            text[--length] = '\0';
        if (is_complete(L, text, length)) {
            end = INPUT_TEXT;
            break;
        }
        text[length++] = '\n'; /* the byte was getline's own line end */
        text[length] = '\0';
    }
    free(line); /* getline's own memory */
    if (end == INPUT_TEXT) {
        *out = text;
        return end;
    }
    mem_free(text);
    return end;
}

enum input_end input_read(lua_State *L, const char *prompt, char **text)
{
    *text = NULL;
    return fancy ? line_read(prompt, text) : plain_read(L, prompt, text);
}

void input_print_history(const char *word)
{
    static const char none[] = "      no history here: it is kept on a terminal, with Readline\n";
    if (fancy)
        line_print_history(word);
    else
        terminal_error(none, sizeof none - 1);
}
