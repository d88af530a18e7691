/* line.c -- cells through GNU Readline's callback interface.
 *
 * One buffer holds the whole cell; Enter runs it when it is complete and breaks the line when not.
 * Keys whose Readline function knows only one line get ours, unless ~/.inputrc bound them. Signals
 * are taken by ppoll only, so no handler ever runs inside Readline. */
#include "shell/line.h"
#include "shell/terminal.h"

#if HAVE_READLINE

#include "kernels/base/mem.h"
#include "lua/bind.h"
#include "shell/cell.h"
#include "shell/complete.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <readline/readline.h>
/* after readline.h */
#include <readline/history.h>

#define HISTORY_ENTRIES 20000

static lua_State *lua;
static bool (*is_complete)(lua_State *L, const char *text, size_t length);
static char *accepted; /* Readline's malloc */
static bool done, at_eof;
static volatile sig_atomic_t resized, stopped;
static char history_path[1024];

/* --- history --------------------------------------------------------------------------------------- */

/* Makes the folders above the file. */
static void make_folders(const char *path)
{
    char part[1024];
    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
        mkdir(part, 0700);
    }
}

static void find_history(void)
{
    const char *own = getenv("LORASH_HISTORY"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    history_path[0] = '\0';
    if (own)
        snprintf(history_path, sizeof history_path, "%s", own);
    else if (state && *state == '/')
        snprintf(history_path, sizeof history_path, "%s/lorash/history", state);
    else if (home && *home)
        snprintf(history_path, sizeof history_path, "%s/.local/state/lorash/history", home);
    if (history_path[0])
        make_folders(history_path);
}

/* Opens the history file under an exclusive lock; -1 = cannot. */
static int lock_history(void)
{
    if (!history_path[0])
        return -1;
    int fd = open(history_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void open_history(void)
{
    using_history();
    history_comment_char = '#'; /* with timestamps: entries of several lines survive */
    history_write_timestamps = 1;
    find_history();
    int fd = lock_history();
    if (fd < 0)
        return;
    read_history(history_path);
    close(fd);
}

/* Adds an entry and appends it to the file at once, so that a crash or a second shell loses
 * nothing. A line that begins with a space is not kept. */
static void remember(const char *text, bool on_disk)
{
    HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
    if (!*text || *text == ' ' || (last && !strcmp(last->line, text)))
        return;
    add_history(text);
    int fd = on_disk ? lock_history() : -1;
    if (fd < 0)
        return;
    append_history(1, history_path);
    close(fd);
}

static void close_history(void)
{
    int fd = lock_history();
    struct stat s;
    if (fd < 0)
        return;
    if (!fstat(fd, &s) && s.st_size > (1 << 20)) /* reading it all is not for every exit */
        history_truncate_file(history_path, HISTORY_ENTRIES);
    close(fd);
}

void line_print_history(const char *word)
{
    HIST_ENTRY **list = history_list();
    int first = word ? 0 : history_length > 25 ? history_length - 25 : 0;
    for (int i = first; list && list[i]; i++) {
        if (word && !strstr(list[i]->line, word))
            continue;
        terminal_write(list[i]->line, strlen(list[i]->line));
        terminal_write("\n", 1);
    }
}

/* --- keys: lines within the buffer ------------------------------------------------------------------ */

static int line_begin(int at)
{
    while (at > 0 && rl_line_buffer[at - 1] != '\n')
        at--;
    return at;
}

static int line_end(int at)
{
    while (at < rl_end && rl_line_buffer[at] != '\n')
        at++;
    return at;
}

static int key_home(int count, int key)
{
    (void)count, (void)key;
    rl_point = line_begin(rl_point);
    return 0;
}

static int key_end(int count, int key)
{
    (void)count, (void)key;
    rl_point = line_end(rl_point);
    return 0;
}

static int key_kill(int count, int key)
{
    (void)count, (void)key;
    int end = line_end(rl_point);
    rl_kill_text(rl_point, end == rl_point && end < rl_end ? end + 1 : end);
    return 0;
}

static int key_discard(int count, int key)
{
    (void)count, (void)key;
    int begin = line_begin(rl_point);
    rl_kill_text(begin, rl_point);
    rl_point = begin;
    return 0;
}

static int key_up(int count, int key)
{
    int begin = line_begin(rl_point);
    if (begin == 0)
        return rl_get_previous_history(count, key);
    int above = line_begin(begin - 1), column = rl_point - begin;
    rl_point = above + column < begin - 1 ? above + column : begin - 1;
    return 0;
}

static int key_down(int count, int key)
{
    int end = line_end(rl_point);
    if (end >= rl_end)
        return rl_get_next_history(count, key);
    int column = rl_point - line_begin(rl_point), below = end + 1, last = line_end(below);
    rl_point = below + column < last ? below + column : last;
    return 0;
}

static void break_line(void)
{
    char text[80];
    int n = cell_indent(rl_line_buffer, (size_t)rl_point);
    snprintf(text, sizeof text, "\n%*s", n < 60 ? n : 60, "");
    rl_insert_text(text);
}

static int key_break(int count, int key)
{
    (void)count, (void)key;
    break_line();
    return 0;
}

static int key_enter(int count, int key)
{
    if (is_complete(lua, rl_line_buffer, (size_t)rl_end)) {
        rl_point = rl_end;
        return rl_newline(count, key);
    }
    break_line();
    return 0;
}

/* Everything up to ESC [ 201 ~ is text; prompts of a copied session are taken out. */
static int key_paste(int count, int key)
{
    (void)count, (void)key;
    static const char stop[] = "\033[201~";
    char *text = NULL;
    int64_t room = 0, n = 0;
    for (int c; (c = rl_read_key()) >= 0;) {
        if (mem_grow((void **)&text, &room, n + 2, 1))
            break;
        text[n++] = (char)c;
        if (n >= 6 && !memcmp(text + n - 6, stop, 6)) {
            n -= 6;
            break;
        }
    }
    if (!text)
        return 0;
    text[n] = '\0';
    size_t length = input_clean(text, (size_t)n);
    while (length && text[length - 1] == '\n')
        text[--length] = '\0';
    rl_insert_text(text);
    mem_free(text);
    return 0;
}

/* --- Tab --------------------------------------------------------------------------------------------- */

static void list_names(const struct completion *c)
{
    int width = terminal_width(), widest = 1;
    for (int i = 0; i < c->count; i++)
        if ((int)strlen(c->names[i]) > widest)
            widest = (int)strlen(c->names[i]);
    int columns = width / (widest + 2) > 0 ? width / (widest + 2) : 1;
    int shown = c->count < 12 * columns ? c->count : 12 * columns;
    int rows = (shown + columns - 1) / columns;
    int point = rl_point;
    rl_point = rl_end; /* the list goes below the whole cell */
    rl_redisplay();
    rl_crlf();
    for (int r = 0; r < rows; r++) {
        for (int i = r; i < shown; i += rows)
            fprintf(rl_outstream, "%-*s", i + rows < shown ? widest + 2 : 0, c->names[i]);
        fputs("\n", rl_outstream);
    }
    if (shown < c->count || c->more)
        fprintf(rl_outstream, "... %d more\n", c->count - shown + c->more);
    rl_point = point;
    rl_on_new_line();
    rl_forced_update_display();
}

static int key_tab(int count, int key)
{
    (void)count, (void)key;
    int begin = line_begin(rl_point);
    if ((int)strspn(rl_line_buffer + begin, " ") >= rl_point - begin && begin > 0) {
        rl_insert_text("  "); /* only blanks before the cursor: indent */
        return 0;
    }
    struct completion c;
    complete_at(lua, rl_line_buffer, (size_t)rl_point, &c);
    size_t typed = (size_t)rl_point - c.start, common = complete_common(&c);
    bool alone = c.count == 1;
    if (c.count && (common > typed || alone)) {
        char *text = c.names[0];
        text[common] = '\0';
        rl_begin_undo_group();
        rl_delete_text((int)c.start, rl_point); /* case may differ */
        rl_point = (int)c.start;
        rl_insert_text(text);
        rl_end_undo_group();
    } else if (c.count) {
        list_names(&c);
    } else {
        rl_ding();
    }
    complete_free(&c);
    return 0;
}

/* --- reading ----------------------------------------------------------------------------------------- */

static void on_line(char *text)
{
    done = true;
    at_eof = !text;
    accepted = text;
    rl_callback_handler_remove(); /* the terminal is itself again while the cell runs */
}

static void on_resize(int signal_number)
{
    (void)signal_number;
    resized = 1;
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

/* Ctrl-Z: the terminal goes back as it was and is taken again after fg. */
static void stop_here(void)
{
    stopped = 0;
    rl_deprep_terminal();
    signal(SIGTSTP, SIG_DFL);
    sigset_t one, before;
    sigemptyset(&one);
    sigaddset(&one, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &one, &before); /* stops here */
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGTSTP, on_stop);
    rl_prep_terminal(1);
    rl_forced_update_display();
}

/* Ours, where the key still has Readline's default. */
static void bind_key(const char *keys, rl_command_func_t *usual, rl_command_func_t *ours)
{
    rl_command_func_t *now = rl_function_of_keyseq(keys, NULL, NULL);
    if (!now || now == usual)
        rl_bind_keyseq(keys, ours);
}

static void bind_keys(void)
{
    bind_key("\r", rl_newline, key_enter);
    bind_key("\n", rl_newline, key_enter);
    bind_key("\t", rl_complete, key_tab);
    bind_key("\033\r", rl_vi_editing_mode, key_break);
    bind_key("\033\n", rl_vi_editing_mode, key_break);
    bind_key("\001", rl_beg_of_line, key_home);
    bind_key("\005", rl_end_of_line, key_end);
    bind_key("\013", rl_kill_line, key_kill);
    bind_key("\025", rl_unix_line_discard, key_discard);
    bind_key("\033[H", rl_beg_of_line, key_home);
    bind_key("\033OH", rl_beg_of_line, key_home);
    bind_key("\033[1~", rl_beg_of_line, key_home);
    bind_key("\033[F", rl_end_of_line, key_end);
    bind_key("\033OF", rl_end_of_line, key_end);
    bind_key("\033[4~", rl_end_of_line, key_end);
    bind_key("\033[A", rl_get_previous_history, key_up);
    bind_key("\033OA", rl_get_previous_history, key_up);
    bind_key("\020", rl_get_previous_history, key_up);
    bind_key("\033[B", rl_get_next_history, key_down);
    bind_key("\033OB", rl_get_next_history, key_down);
    bind_key("\016", rl_get_next_history, key_down);
    rl_bind_keyseq("\033[200~", key_paste);
}

bool line_open(lua_State *L, bool (*complete)(lua_State *L, const char *text, size_t length))
{
    lua = L;
    is_complete = complete;
    rl_readline_name = "lorash";
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_change_environment = 0;
    rl_initialize();
    rl_variable_bind("enable-active-region", "off"); /* paints a paste in reverse video */
    rl_variable_bind("blink-matching-paren", "off");
    bind_keys();
    open_history();
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_resize;
    sigaction(SIGWINCH, &action, NULL);
    return true;
}

void line_close(void)
{
    close_history();
    clear_history();
}

/* Ctrl-C: the typed text stays reachable with Up, a new prompt comes. */
static void abandon(void)
{
    rl_point = rl_end;
    rl_redisplay();
    fputs("^C", rl_outstream);
    remember(rl_line_buffer, false);
    rl_callback_sigcleanup();
    rl_free_line_state();
    rl_replace_line("", 1);
    rl_crlf();
    rl_callback_handler_remove();
}

enum input_end line_read(const char *prompt, char **text)
{
    char colored[128];
    const char *on = terminal_style(STYLE_CYAN, false), *off = terminal_style(STYLE_PLAIN, false);
    snprintf(colored, sizeof colored, *on ? "\001%s\002%s\001%s\002" : "%s%s%s", on, prompt, off);
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGWINCH);
    sigaddset(&block, SIGTSTP);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGHUP);
    signal(SIGTSTP, on_stop);
    sigprocmask(SIG_BLOCK, &block, &before);
    terminal_flush();
    done = at_eof = false;
    accepted = NULL;
    bind_interrupted = bind_terminated ? 3 : 0;
    rl_callback_handler_install(colored, on_line);
    while (!done) {
        struct pollfd p = {.fd = fileno(rl_instream ? rl_instream : stdin), .events = POLLIN};
        int ready = ppoll(&p, 1, NULL, &before);
        bool lost = ready < 0 && errno != EINTR;
        if (resized) {
            resized = 0;
            rl_resize_terminal();
        }
        if (stopped)
            stop_here();
        if (bind_terminated) { /* the terminal gets its settings back; the loop ends */
            rl_callback_handler_remove();
            break;
        }
        if (bind_interrupted) {
            abandon();
            break;
        }
        if (ready > 0)
            rl_callback_read_char();
        else if (lost)
            at_eof = done = true;
    }
    signal(SIGTSTP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!done)
        return INPUT_INTERRUPTED;
    if (at_eof || !accepted) {
        terminal_write("\n", 1);
        return INPUT_EOF;
    }
    remember(accepted, true);
    *text = mem_text(accepted, strlen(accepted));
    free(accepted);
    return *text ? INPUT_TEXT : INPUT_NO_MEMORY;
}

#else /* READLINE=0: plain lines only */

bool line_open(lua_State *L, bool (*complete)(lua_State *L, const char *text, size_t length))
{
    (void)L, (void)complete;
    return false;
}

void line_close(void)
{
}

enum input_end line_read(const char *prompt, char **text)
{
    (void)prompt, (void)text;
    return INPUT_EOF;
}

void line_print_history(const char *word)
{
    (void)word;
}

#endif
