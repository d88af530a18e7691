/* terminal.c -- one writer for everything that reaches the screen.
 *
 * Output scrolls above the live line: it is wiped before a write and drawn again after the next
 * whole line. Off a terminal there is no live line, no escape sequence and no carriage return. */
#include "shell/terminal.h"
#include "engine/text/unicode.h"
#include "kernels/base/status.h"
#include "lua/bind.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool out_tty, err_tty, dumb;
    bool color_out, color_err;
    FILE *live_stream; /* NULL = no live line */
    char live[1024];
    bool live_set, live_drawn, mid_line, failed;
    struct timespec drawn_at;
} term;

/* --- sizes -------------------------------------------------------------------------------------- */

int terminal_width(void)
{
    struct winsize size;
    for (int fd = 1; fd <= 2; fd++)
        if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col > 0)
            return size.ws_col;
    const char *columns = getenv("COLUMNS");
    int n = columns ? atoi(columns) : 0;
    return n > 0 ? n : 80;
}

bool terminal_is_interactive(void)
{
    return isatty(0) && term.out_tty && !term.dumb;
}

/* Past an escape sequence at p (ESC [ ... letter, or ESC and one byte). */
static const char *skip_escape(const char *p, const char *end)
{
    p++;
    if (p < end && *p == '[') {
        for (p++; p < end && (*p < '@' || *p > '~'); p++)
            ;
    }
    return p < end ? p + 1 : end;
}

size_t terminal_fit(const char *text, size_t length, int columns, int *used)
{
    const char *p = text, *end = text + length;
    int width = 0;
    while (p < end) {
        if (*p == '\033') {
            p = skip_escape(p, end);
            continue;
        }
        uint32_t cp;
        int n = utf8_decode(p, end, &cp);
        int w = n ? unicode_width(cp) : 1;
        if (w < 0)
            w = 1;
        if (width + w > columns)
            break;
        width += w;
        p += n ? n : 1;
    }
    *used = width;
    return (size_t)(p - text);
}

/* --- the live line ------------------------------------------------------------------------------ */

static void wipe(void)
{
    if (term.live_drawn) {
        fputs("\r\033[K", term.live_stream);
        term.live_drawn = false;
    }
}

static void draw(void)
{
    if (!term.live_set || term.mid_line || !term.live_stream)
        return;
    int used;
    size_t n = terminal_fit(term.live, strlen(term.live), terminal_width() - 1, &used);
    fputs("\r", term.live_stream);
    fwrite(term.live, 1, n, term.live_stream);
    fputs(term.color_out || term.color_err ? "\033[0m\033[K" : "\033[K", term.live_stream);
    fflush(term.live_stream);
    term.live_drawn = true;
    clock_gettime(CLOCK_MONOTONIC, &term.drawn_at);
}

void terminal_live(const char *text)
{
    if (!term.live_stream)
        return;
    if (!text) {
        wipe();
        fflush(term.live_stream);
        term.live_set = false;
        return;
    }
    snprintf(term.live, sizeof term.live, "%s", text);
    term.live_set = true;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double since = (double)(now.tv_sec - term.drawn_at.tv_sec) +
                   1e-9 * (double)(now.tv_nsec - term.drawn_at.tv_nsec);
    if (!term.live_drawn || since >= 0.1)
        draw();
}

/* --- writing ------------------------------------------------------------------------------------ */

static void write_to(FILE *f, bool tty, const char *text, size_t length)
{
    if (!length)
        return;
    wipe();
    if (fwrite(text, 1, length, f) < length)
        term.failed |= f == stdout;
    if (tty) {
        term.mid_line = text[length - 1] != '\n';
        fflush(f);
        draw();
    }
}

void terminal_write(const char *text, size_t length)
{
    write_to(stdout, term.out_tty, text, length);
}

void terminal_error(const char *text, size_t length)
{
    if (fflush(stdout))
        term.failed = true; /* in order, when both go to one file */
    write_to(stderr, term.err_tty, text, length);
    fflush(stderr);
}

bool terminal_flush(void)
{
    if (fflush(stdout))
        term.failed = true;
    fflush(stderr);
    return !term.failed;
}

static void flush_quietly(void)
{
    (void)terminal_flush(); /* a failure is remembered */
}

static void write_note(const char *text)
{
    char line[1200];
    int n = snprintf(line, sizeof line, "%s      %s%s\n", terminal_style(STYLE_DIM, true), text,
                     terminal_style(STYLE_PLAIN, true));
    terminal_error(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

const char *terminal_style(enum style s, bool on_error)
{
    static const char *const codes[] = {"\033[0m",  "\033[2m",  "\033[1m",
                                        "\033[31m", "\033[33m", "\033[36m"};
    return (on_error ? term.color_err : term.color_out) ? codes[s] : "";
}

/* --- setting up --------------------------------------------------------------------------------- */

static bool want_color(const char *color, bool tty)
{
    if (color && !strcmp(color, "always"))
        return true;
    if (color && !strcmp(color, "never"))
        return false;
    const char *no = getenv("NO_COLOR"), *force = getenv("FORCE_COLOR");
    if (no && *no)
        return false;
    if (force && *force)
        return strcmp(force, "0") != 0;
    return tty && !term.dumb;
}

static int choose_progress(const char *progress)
{
    static const char *const names[] = {"none", "bar", "plain", "json"};
    if (!progress || !strcmp(progress, "auto"))
        progress =
            (term.out_tty || term.err_tty) && !term.dumb && term.live_stream ? "bar" : "plain";
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], progress)) {
            bind_terminal.progress = (enum bind_progress)i;
            return OK;
        }
    return fail(ERR_ARG, "--progress '%.40s' is unknown; hint: auto, bar, plain, json or none",
                progress);
}

int terminal_open(const char *progress, const char *color)
{
    const char *name = getenv("TERM");
    term.dumb = !name || !*name || !strcmp(name, "dumb");
    term.out_tty = isatty(1);
    term.err_tty = isatty(2);
    /* a log keeps its clean lines: the bar needs standard output itself to be a terminal, unless
     * it was asked for */
    term.live_stream = term.out_tty ? stdout : NULL;
    if (!term.out_tty && term.err_tty && progress && !strcmp(progress, "bar"))
        term.live_stream = stderr;
    if (color && strcmp(color, "auto") && strcmp(color, "always") && strcmp(color, "never"))
        return fail(ERR_ARG, "--color '%.40s' is unknown; hint: auto, always or never", color);
    TRY(choose_progress(progress));
    if (bind_terminal.progress != BIND_PROGRESS_BAR)
        term.live_stream = NULL;
    term.color_out = want_color(color, term.out_tty);
    term.color_err = want_color(color, term.err_tty);
    bind_terminal.color = term.color_out;
    bind_terminal.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    bind_terminal.width = terminal_width;
    bind_terminal.live = terminal_live;
    bind_terminal.flush = flush_quietly;
    bind_set_writer(terminal_write);
    bind_set_note_writer(write_note);
    return OK;
}
