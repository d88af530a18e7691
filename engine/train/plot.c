/* plot.c -- scales, dots and lines. A cell of the terminal holds 2 x 4 braille dots. */
#include "engine/train/plot.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL 8 /* columns of a label on the left */

struct range {
    double low, high;
};

static void widen(struct range *r, double v)
{
    if (!isfinite(v))
        return;
    r->low = fmin(r->low, v);
    r->high = fmax(r->high, v);
}

/* Ranges over all finite points; false when there is none. 'bad' counts the others. */
static bool ranges(const struct plot_series *s, int count, struct range *x, struct range *y,
                   int64_t *bad)
{
    int64_t good = 0;
    *x = *y = (struct range){INFINITY, -INFINITY};
    *bad = 0;
    for (int k = 0; k < count; k++)
        for (int64_t i = 0; i < s[k].count; i++) {
            if (!isfinite(s[k].y[i]) || !isfinite(s[k].x[i])) {
                ++*bad;
                continue;
            }
            widen(x, s[k].x[i]);
            widen(y, s[k].y[i]);
            good++;
        }
    if (!good)
        return false;
    if (!(y->high > y->low)) { /* one value: it stands in the middle */
        double half = fabs(y->low) > 0 ? 0.1 * fabs(y->low) : 1;
        y->low -= half;
        y->high += half;
    }
    if (!(x->high > x->low))
        x->high = x->low + 1;
    return true;
}

static double place(const struct range *r, double v)
{
    return (v - r->low) / (r->high - r->low);
}

/* --- text ------------------------------------------------------------------------------------- */

struct canvas {
    int columns, rows; /* cells */
    bool utf8;
    unsigned char *dots; /* [rows*columns] braille bits */
    unsigned char *mark; /* [rows*columns] */
};

static void dot(struct canvas *c, int64_t x, int64_t y)
{
    static const unsigned char bit[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    if (x < 0 || y < 0 || x >= 2 * c->columns || y >= 4 * c->rows)
        return;
    c->dots[y / 4 * c->columns + x / 2] |= bit[y % 4][x % 2];
}

static void line(struct canvas *c, int64_t x0, int64_t y0, int64_t x1, int64_t y1)
{
    int64_t steps = i64_max(llabs(x1 - x0), llabs(y1 - y0));
    for (int64_t i = 0; i <= steps; i++) {
        double share = steps ? (double)i / (double)steps : 0;
        dot(c, x0 + llround(share * (double)(x1 - x0)), y0 + llround(share * (double)(y1 - y0)));
    }
}

static void draw(struct canvas *c, const struct plot_series *s, const struct range *rx,
                 const struct range *ry)
{
    bool before = false;
    int64_t lx = 0, ly = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (!isfinite(s->y[i]) || !isfinite(s->x[i])) {
            before = false;
            continue;
        }
        int64_t x = llround(place(rx, s->x[i]) * (2 * c->columns - 1));
        int64_t y = llround((1 - place(ry, s->y[i])) * (4 * c->rows - 1));
        if (s->points)
            c->mark[y / 4 * c->columns + x / 2] = 1;
        else if (before)
            line(c, lx, ly, x, y);
        else
            dot(c, x, y);
        before = true;
        lx = x;
        ly = y;
    }
}

static void put_cell(struct buffer *out, const struct canvas *c, int64_t i)
{
    unsigned char d = c->dots[i];
    if (c->mark[i])
        buffer_text(out, c->utf8 ? "●" : "o");
    else if (!d)
        buffer_text(out, " ");
    else if (!c->utf8)
        buffer_text(out, "*");
    else
        buffer_printf(out, "%c%c%c", 0xE2, 0xA0 | d >> 6, 0x80 | (d & 63));
}

static void trim(struct buffer *out)
{
    while (out->length && out->bytes[out->length - 1] == ' ')
        out->length--;
}

static void put_legend(struct buffer *out, const struct plot_series *s, int count, int columns,
                       bool utf8, int64_t bad)
{
    char text[200] = "";
    size_t used = 0;
    for (int k = 0; k < count && used < sizeof text - 60; k++)
        if (s[k].count)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%.30s %s", used ? "   " : "",
                                 s[k].name, s[k].points ? (utf8 ? "●" : "o") : (utf8 ? "─" : "*"));
    if (bad)
        snprintf(text + used, sizeof text - used, "   %" PRId64 " not a number", bad);
    int width = (int)strlen(text); /* a mark has two bytes more than columns */
    for (int k = 0; k < count && utf8; k++)
        width -= s[k].count ? 2 : 0;
    buffer_repeat(out, " ", i64_max(columns - width, 0));
    buffer_printf(out, "%s\n", text);
}

static void put_axis(struct buffer *out, const struct canvas *c, const struct range *x)
{
    char first[32], middle[32], last[32];
    snprintf(first, sizeof first, "%.6g", x->low);
    snprintf(middle, sizeof middle, "%.6g", floor((x->low + x->high) / 2));
    snprintf(last, sizeof last, "%.6g", x->high);
    buffer_repeat(out, " ", LABEL + 1);
    buffer_text(out, c->utf8 ? "└" : "+");
    buffer_repeat(out, c->utf8 ? "─" : "-", c->columns);
    buffer_text(out, "\n");
    int a = (int)strlen(first), m = (int)strlen(middle), z = (int)strlen(last);
    int gap = (c->columns - a - m - z) / 2;
    buffer_repeat(out, " ", LABEL + 2);
    if (gap < 1)
        buffer_printf(out, "%s - %s\n", first, last);
    else
        buffer_printf(out, "%s%*s%s%*s%s\n", first, gap, "", middle, c->columns - a - m - z - gap,
                      "", last);
}

/* Decimals that tell the labels of an axis apart. */
static int decimals(const struct range *r, int labels)
{
    double each = (r->high - r->low) / labels;
    int n = (int)ceil(-log10(each));
    return n < 0 ? 0 : n > 6 ? 6 : n;
}

static void put_rows(struct buffer *out, const struct canvas *c, const struct range *y)
{
    double size = fmax(fabs(y->low), fabs(y->high));
    bool plain = size < 1e5 && y->high - y->low > 1e-5;
    int every = c->rows > 6 ? 3 : 2, digits = decimals(y, c->rows / every + 1);
    for (int r = 0; r < c->rows; r++) {
        double v = y->high - (y->high - y->low) * r / (c->rows - 1);
        if (r % every && r != c->rows - 1)
            buffer_repeat(out, " ", LABEL);
        else if (plain)
            buffer_printf(out, "%*.*f", LABEL, digits, v);
        else
            buffer_printf(out, "%*.2g", LABEL, v);
        buffer_text(out, c->utf8 ? " ┤" : " |");
        for (int i = 0; i < c->columns; i++)
            put_cell(out, c, (int64_t)r * c->columns + i);
        trim(out);
        buffer_text(out, "\n");
    }
}

void plot_text(struct buffer *out, const struct plot_series *series, int count, int columns,
               int rows, bool utf8)
{
    struct range x, y;
    int64_t bad;
    struct canvas c = {.utf8 = utf8};
    if (!ranges(series, count, &x, &y, &bad)) {
        buffer_text(out, bad ? "no value is a number\n" : "nothing to draw yet\n");
        return;
    }
    columns = columns < 20 ? 20 : columns;
    c.columns = columns - LABEL - 3;
    c.rows = (rows < 5 ? 5 : rows) - 3;
    size_t cells = (size_t)c.columns * (size_t)c.rows;
    c.dots = mem_calloc(2 * cells, 1);
    if (!c.dots) {
        out->status = ERR_MEMORY;
        return;
    }
    c.mark = c.dots + cells;
    for (int k = 0; k < count; k++)
        draw(&c, &series[k], &x, &y);
    put_legend(out, series, count, columns - 1, utf8, bad);
    put_rows(out, &c, &y);
    put_axis(out, &c, &x);
    mem_free(c.dots);
}

/* --- SVG -------------------------------------------------------------------------------------- */

enum { WIDTH = 760, HEIGHT = 420, LEFT = 70, RIGHT = 20, TOP = 46, BOTTOM = 48 };

static void put_escaped(struct buffer *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            buffer_text(out, "&amp;");
            break;
        case '<':
            buffer_text(out, "&lt;");
            break;
        case '>':
            buffer_text(out, "&gt;");
            break;
        case '"':
            buffer_text(out, "&quot;");
            break;
        default:
            buffer_add(out, text, 1);
        }
}

/* A step of 1, 2 or 5 times a power of ten that gives about 'wanted' ticks. */
static double tick_step(const struct range *r, int wanted)
{
    double raw = (r->high - r->low) / wanted, power = pow(10, floor(log10(raw)));
    double m = raw / power;
    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static double x_of(const struct range *r, double v)
{
    return LEFT + place(r, v) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct range *r, double v)
{
    return TOP + (1 - place(r, v)) * (HEIGHT - TOP - BOTTOM);
}

static void put_ticks(struct buffer *out, const struct range *x, const struct range *y)
{
    double step = tick_step(y, 6);
    for (double v = ceil(y->low / step) * step; v <= y->high + step * 1e-9; v += step)
        buffer_printf(out,
                      "<path d=\"M%d %.1fH%d\" stroke=\"#e3e3e3\"/>"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                      LEFT, y_of(y, v), WIDTH - RIGHT, LEFT - 8, y_of(y, v) + 4,
                      fabs(v) < step * 1e-9 ? 0.0 : v);
    step = fmax(tick_step(x, 8), 1); /* whole steps */
    for (double v = ceil(x->low / step) * step; v <= x->high + step * 1e-9; v += step)
        buffer_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.7g</text>\n",
                      x_of(x, v), HEIGHT - BOTTOM + 20, v);
    buffer_printf(out,
                  "<path d=\"M%d %dV%dH%d\" stroke=\"#888\" fill=\"none\"/>\n"
                  "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n",
                  LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT, (WIDTH + LEFT - RIGHT) / 2,
                  HEIGHT - 10);
}

static void put_series(struct buffer *out, const struct plot_series *s, const char *color,
                       const struct range *x, const struct range *y)
{
    bool before = false;
    buffer_printf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" d=\"", color);
    for (int64_t i = 0; i < s->count; i++) {
        bool good = isfinite(s->y[i]) && isfinite(s->x[i]);
        if (good)
            buffer_printf(out, "%c%.1f %.1f", before ? 'L' : 'M', x_of(x, s->x[i]),
                          y_of(y, s->y[i]));
        before = good;
    }
    buffer_text(out, "\"/>\n");
    for (int64_t i = 0; i < s->count && (s->points || s->count == 1); i++)
        if (isfinite(s->y[i]) && isfinite(s->x[i]))
            buffer_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                          x_of(x, s->x[i]), y_of(y, s->y[i]), color);
}

void plot_svg(struct buffer *out, const char *title, const struct plot_series *series, int count)
{
    static const char *const colors[] = {"#1f6fb2", "#d9541e", "#3a8a3a", "#7b4fa3"};
    struct range x, y;
    int64_t bad;
    bool any = ranges(series, count, &x, &y, &bad);
    buffer_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 "
        "0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"24\" "
        "font-size=\"15\">",
        WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    put_escaped(out, title);
    buffer_text(out, "</text>\n");
    if (any)
        put_ticks(out, &x, &y);
    int at = WIDTH - RIGHT;
    for (int k = 0; any && k < count; k++) {
        if (!series[k].count)
            continue;
        put_series(out, &series[k], colors[k % 4], &x, &y);
        buffer_printf(out, "<text x=\"%d\" y=\"24\" text-anchor=\"end\" fill=\"%s\">", at,
                      colors[k % 4]);
        put_escaped(out, series[k].name);
        buffer_text(out, "</text>\n");
        at -= 9 * (int)strlen(series[k].name) + 16;
    }
    buffer_text(out, "</svg>\n");
}
