/* template.c -- chat templates: small ones against the reference's results, messages, spans,
 * limits, a small stack, broken input, no memory. */
#include "engine/text/template/template.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/utf8.h"
#include "kernels/base/mem.h"
#include "tests/engine/engine_util.h"
#include "tests/engine/shared_util.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int render_with(const char *text, size_t length, const struct value *variables,
                       const struct template_options *options, struct template_result *out)
{
    struct template *t = NULL;
    int status = template_parse(text, length, &t);
    if (!status)
        status = template_render(t, variables, options, out);
    template_free(t);
    return status;
}

static struct value *parsed(const char *json)
{
    struct value *v = NULL;
    CHECK(value_from_json(json, strlen(json), NULL, &v));
    return v;
}

static bool utf8_checked(const char *text, size_t length)
{
    return utf8_valid(text, length) < length;
}

/* --- the reference's results (scripts/golden/template_snippets.py) */

static int check_snippet(const struct value *entry, const struct value *variables)
{
    const struct value *t = value_map_get(entry, "t"), *o = value_map_get(entry, "o");
    const struct value *r = value_map_get(entry, "r");
    struct template_result got = {0};
    int status = render_with(t->as.text.bytes, t->as.text.length, variables, NULL, &got), bad = 0;
    if (o)
        bad = status || got.length != o->as.text.length ||
              memcmp(got.text, o->as.text.bytes, got.length) != 0;
    else if (r)
        bad = !status || !got.raised || strcmp(status_message(), r->as.text.bytes) != 0;
    else
        bad = !status || got.raised;
    if (bad)
        print_message("# %s\n#   gives  %s%s\n#   wanted %s\n", t->as.text.bytes,
                      status ? "failure: " : "", status ? status_message() : got.text,
                      o   ? o->as.text.bytes
                      : r ? r->as.text.bytes
                          : "a failure");
    template_result_free(&got);
    return bad;
}

static void snippets(void **state)
{
    (void)state;
    char *bytes;
    size_t length;
    struct value *v = NULL;
    int bad = 0;
    CHECK(file_read("tests/golden/template_snippets.json", 0, &bytes, &length));
    CHECK(value_from_json(bytes, length, NULL, &v));
    mem_free(bytes);
    const struct value *list = value_map_get(v, "snippets");
    for (int64_t i = 0; i < list->as.list.count; i++)
        bad += check_snippet(list->as.list.items[i], value_map_get(v, "variables"));
    print_message("# %d snippets, %d differ\n", (int)list->as.list.count, bad);
    assert_true(list->as.list.count >= 200);
    assert_int_equal(bad, 0);
    value_drop(v);
    assert_int_equal(mem_stats().live_blocks, 0);
}

/* --- messages of failures */

static void fails(const char *template, const char *wanted)
{
    struct template_result r = {0};
    struct value *v = parsed("{\"a\": 1, \"m\": [{\"role\": \"user\"}]}");
    int status = render_with(template, strlen(template), v, NULL, &r);
    if (!status || !strstr(status_message(), wanted))
        fail_msg("%s: '%s', wanted '%s'", template, status ? status_message() : r.text, wanted);
    template_result_free(&r);
    value_drop(v);
}

static void failures(void **state)
{
    (void)state;
    fails("a\n  {{ m[0].rol.x }}", "line 2, column 14: 'rol' is undefined and has no 'x'");
    fails("{{ x.y }}", "line 1, column 5: 'x' is undefined and has no 'y'");
    fails("{{ x() }}", "line 1, column 5: 'x' is undefined and cannot be called");
    fails("{{ x + 1 }}", "line 1, column 8: 'x' is undefined and cannot be used with +");
    fails("{{ a | lenght }}",
          "line 1, column 8: there is no filter 'lenght'; did you mean 'length'?");
    fails("{{ a is defind }}",
          "line 1, column 9: there is no test 'defind'; did you mean 'defined'?");
    fails("{{ a | join(q=1) }}", "join has no argument 'q'");
    fails("{{ 'x' | replace('a') }}", "replace needs the argument 'new'");
    fails("{{ 'x' | trim(1, 2) }}", "trim takes at most 1 arguments, found 2");
    fails("{{ m.append(1) }}", "append (templates cannot change a list)");
    fails("{{ raise_exception('My own words') }}", "My own words");
    fails("{% for x in m %}",
          "line 1, column 1: the template ends inside this tag; wanted {% endfor %}");
    fails("{% if a %}x{% endfor %}{% endif %}", "'endfor' where no such tag is open");
    fails("{% include 'x' %}", "the tag 'include' is not known here");
    fails("{{ a", "line 1, column 1: a tag without its end; wanted }}");
    fails("{{ (a] }}", "line 1, column 6: found ']', expected ')'");
    fails("{{ a b }}", "line 1, column 6: expected an operator or '}}', found the name 'b'");
    fails("{{ }}", "expected an expression, found '}}'");
    fails("{% set a.b = 1 %}", "'a' is a int; only a namespace's attributes can be set");
    fails("{% set none = 1 %}", "line 1, column 8: 'none' cannot be set");
    fails("{{ 99999999999999999999 }}", "a number that does not fit 64 bits");
    fails("{{ 9223372036854775807 + 1 }}", "an integer of more than 64 bits");
    fails("\xC3(", "line 1, column 1: bytes that are no UTF-8");
    fails("{{ m[0].role | tojson(indent=1000) }}", "indent: 1000, at most 100 is possible");
}

/* --- spans */

static void spans(void **state)
{
    (void)state;
    struct template_result r = {0};
    struct value *v = parsed("{\"m\": [\"\\u00e9 one\", \"two\"]}");
    const char *text = "{% for x in m %}<{% generation %}{{ x }};{% endgeneration %}>{% endfor %}";
    CHECK(render_with(text, strlen(text), v, NULL, &r));
    assert_string_equal(r.text, "<\xC3\xA9 one;><two;>");
    assert_int_equal(r.span_count, 2);
    assert_int_equal(r.spans[0].start, 1);
    assert_int_equal(r.spans[0].end, 8);
    assert_int_equal(r.spans[1].start, 10);
    assert_int_equal(r.spans[1].end, 14);
    template_result_free(&r);
    value_drop(v);
    struct template *t = NULL;
    CHECK(template_parse(text, strlen(text), &t));
    assert_true(template_has_generation(t));
    assert_true(template_mentions(t, "endfor"));
    assert_false(template_mentions(t, "tools"));
    template_free(t);
}

/* --- what wants too much */

struct evil {
    const char *name;
    char *text;
};

static char *repeated(const char *before, const char *what, int times, const char *behind)
{
    size_t n = strlen(what), b = strlen(before);
    char *text = malloc(b + n * (size_t)times + strlen(behind) + 1);
    assert_non_null(text);
    strcpy(text, before);
    for (int i = 0; i < times; i++)
        memcpy(text + b + n * (size_t)i, what, n);
    strcpy(text + b + n * (size_t)times, behind);
    return text;
}

#define EVIL_COUNT 40

static int evils(struct evil *list)
{
    static const char *const whole[] = {
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{% if x %}{% for i in [1] %}{{ f([x]) }}{% endfor %}{% endif %}"
        "{% endmacro %}{{ f(1) }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{{ 'xxxxxxxxxx' }}{% endfor %}"
        "{% endfor %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ 'x' * 10**18 }}",
        "{{ [1] * 10**9 }}",
        "{% set s = 'x' * 1000000 %}{% for i in range(100000) %}{% set q = s * 60 %}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ 'ba' * 100 in s }}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s | length }}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s == s ~ 'x' }}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s[i:i+1] }}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s.rfind('x') }}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s[1999999] * 99 }}{% endfor %}",
        "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s.strip('a') }}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(1000) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=1, y=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x='x') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(100) %}{% set ns.x = ns.x | replace('x', "
        "'xxxxxxxx') %}{% endfor %}",
        "{{ ('x' * 1000000) | replace('', "
        "'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        "yyyyyyyy') }}",
        "{{ range(100000) | list | sort | map('string') | join('x' * 1000) }}",
        "{{ (range(100000) | map('string') | list) | unique | list | length }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ 'x' | indent(1000000000, true) }}",
        "{% set f = namespace() %}{% set f.f = f %}{{ f }}",
    };
    int n = 0;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++, n++)
        list[n] = (struct evil){whole[i], repeated(whole[i], "", 0, "")};
    list[n++] = (struct evil){"60,000 brackets", repeated("{{ ", "(", 60000, "")};
    list[n++] = (struct evil){"60,000 lists", repeated("{{ ", "[", 60000, " }}")};
    list[n++] = (struct evil){"60,000 nots", repeated("{{ ", "not ", 60000, "a }}")};
    list[n++] = (struct evil){"60,000 signs", repeated("{{ ", "-", 60000, "a }}")};
    list[n++] = (struct evil){"60,000 ifs", repeated("", "{% if a %}", 60000, "")};
    list[n++] = (struct evil){"30,000 else", repeated("{{ a", " if 0 else a", 30000, " }}")};
    list[n++] = (struct evil){"30,000 if", repeated("{{ a", " if 0", 30000, " }}")};
    list[n++] = (struct evil){"20,000 maps", repeated("{{ 'a' | map(", "'map',", 20000, ") }}")};
    return n;
}

/* Each fails with a message, within a second and 64 MiB beside its own text. */
static void *run_evils(void *result)
{
    struct evil list[EVIL_COUNT];
    int count = evils(list), *bad = result;
    struct value *none = value_map();
    for (int i = 0; i < count; i++) {
        struct template_result r = {0};
        struct timespec t0, t1;
        mem_reset_peak();
        int64_t before = mem_stats().live_bytes;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
        int status = render_with(list[i].text, strlen(list[i].text), none, NULL, &r);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
        double seconds = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
        double mib = (double)(mem_stats().peak_bytes - before) / 1048576;
        if (getenv("LORASH_TEMPLATE_EVILS") || !status || mib > 64 || (!SANITIZED && seconds > 3))
            fprintf(stderr, "# %.70s: %s, %.3f s, %.1f MiB\n", list[i].name,
                    status ? status_message() : r.text, seconds, mib);
        *bad += !status || mib > 64 || (!SANITIZED && seconds > 3);
        template_result_free(&r);
        free(list[i].text);
    }
    value_drop(none);
    return NULL;
}

static void on_small_stack(void *(*work)(void *), void *ctx)
{
    pthread_attr_t attr;
    pthread_t thread;
    size_t stack = SANITIZED ? 2 << 20 : 256 << 10; /* sanitizers make frames larger */
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, stack), 0);
    assert_int_equal(pthread_create(&thread, &attr, work, ctx), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
}

static void too_much(void **state)
{
    (void)state;
    int bad = 0;
    on_small_stack(run_evils, &bad);
    assert_int_equal(bad, 0);
    assert_int_equal(mem_stats().live_blocks, 0);
}

/* --- nesting that is still fine, on a small stack */

static void *run_deep(void *result)
{
    char *deep[4] = {
        repeated("{% macro f(n) %}{% if n > 0 %}{% for i in [1] %}{{ (n ~ f(n - 1)) | string }}"
                 "{% endfor %}{% endif %}{% endmacro %}{{ f(20) }}",
                 "", 0, ""),
        repeated("{{ ", "(", 60, "1"),
        repeated("", "{% if 1 %}", 60, ""),
        repeated("{{ 1", " + 1", 5000, " }}"),
    };
    for (int i = 1; i < 3; i++) {
        char *closed = repeated(deep[i], i == 1 ? ")" : "{% endif %}", 60, i == 1 ? " }}" : "");
        free(deep[i]);
        deep[i] = closed;
    }
    struct value *none = value_map();
    for (int i = 0; i < 4; i++) {
        struct template_result r = {0};
        if (render_with(deep[i], strlen(deep[i]), none, NULL, &r)) {
            fprintf(stderr, "# %.60s: %s\n", deep[i], status_message());
            ++*(int *)result;
        }
        template_result_free(&r);
        free(deep[i]);
    }
    value_drop(none);
    return NULL;
}

static void deep_enough(void **state)
{
    (void)state;
    int bad = 0;
    on_small_stack(run_deep, &bad);
    assert_int_equal(bad, 0);
}

static void own_limits(void **state)
{
    (void)state;
    struct template_result r = {0};
    struct value *none = value_map();
    const char *loop = "{% for i in range(1000) %}0123456789{% endfor %}";
    struct template_options few = {.fuel = 500}, small = {.output = 5000}, tiny = {.memory = 4096};
    CHECK(render_with(loop, strlen(loop), none, NULL, &r));
    assert_int_equal(r.length, 10000);
    template_result_free(&r);
    assert_int_equal(render_with(loop, strlen(loop), none, &few, &r), ERR_MEMORY);
    assert_int_equal(render_with(loop, strlen(loop), none, &small, &r), ERR_MEMORY);
    assert_int_equal(render_with(loop, strlen(loop), none, &tiny, &r), ERR_MEMORY);
    value_drop(none);
    assert_int_equal(mem_stats().live_blocks, 0);
}

/* --- broken templates, no memory */

static const char seed[] =
    "{%- if tools %}{{- '<|im_start|>system\\n' }}{%- for tool in tools %}{{ tool | tojson }}{% "
    "endfor "
    "%}{%- endif %}\n{# note #}{% set ns = namespace(last=0, x=none) %}"
    "{%- macro show(c, wrap=false) -%}{%- if c is string %}{{ c.split('</think>')[-1] | trim }}"
    "{%- elif c is mapping or (c is iterable and c is not none) %}{% for k, v in c | dictsort %}"
    "{{ k ~ ':' ~ v }}{{ ', ' if not loop.last }}{% endfor %}{%- endif %}{%- endmacro -%}"
    "{% for message in messages if message.role != 'x' %}{%- if loop.index0 > 5 %}{% break %}{% "
    "endif %}"
    "{%- set ns.last = loop.index0 -%}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% generation %}{{ show(message.content, wrap=true) }}{% endgeneration %}"
    "{%- if message.tool_calls is defined %}{% for call in message.tool_calls[::-1] %}"
    "{{ call['function'].arguments | tojson(indent=2) }}{% endfor %}{% endif %}{{ '<|im_end|>\\n' "
    "}}"
    "{% endfor %}{% raw %}{{ raw }}{% endraw %}{{ messages | selectattr('role', 'equalto', 'user') "
    "| "
    "map(attribute='content') | join(', ') }}{% if add_generation_prompt %}a{% endif %}"
    "{{ range(3) | list }}{{ '%s' % ns.last }}{{ -1 // 2 + 2 ** 3 % 5 }}{{ strftime_now('%Y') }}";

static const char seed_variables[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi </think> you\"}, {\"role\": "
    "\"assistant\", "
    "\"content\": {\"b\": 1, \"a\": \"x\"}, \"tool_calls\": [{\"function\": {\"arguments\": "
    "{\"x\": [1, "
    "2.5]}}}]}], \"tools\": [{\"name\": \"f\"}], \"add_generation_prompt\": true}";

static struct value *variables;

static int parse_and_render(const char *bytes, size_t length)
{
    struct template_result r = {0};
    struct template_options o = {.fuel = 100000, .now = 1770091506};
    int status = render_with(bytes, length, variables, &o, &r);
    if (!status && (!r.text || utf8_checked(r.text, r.length)))
        fail_msg("a text that is no UTF-8");
    template_result_free(&r);
    return status;
}

static void broken(void **state)
{
    (void)state;
    variables = parsed(seed_variables);
    CHECK(parse_and_render(seed, sizeof seed - 1));
    bad_input_sweep(seed, sizeof seed - 1, 4096, 64 << 20, parse_and_render);
    value_drop(variables);
}

static void broken_real(void **state)
{
    (void)state;
    static const char *const names[] = {"trl/qwen3_training.jinja",
                                        "axolotl/llama3_2_vision.jinja"};
    bool any = false;
    for (int i = 0; i < 2; i++) {
        char name[128], *bytes;
        size_t length;
        snprintf(name, sizeof name, "data/chat_templates/%s", names[i]);
        const char *path = shared_path(name);
        if (!path)
            continue;
        any = true;
        CHECK(file_read(path, 0, &bytes, &length));
        variables = parsed(seed_variables);
        bad_input_sweep(bytes, length, 512, 64 << 20, parse_and_render);
        value_drop(variables);
        mem_free(bytes);
    }
    if (!any)
        skip();
}

static int no_memory_work(void *ctx)
{
    (void)ctx;
    return parse_and_render(seed, sizeof seed - 1);
}

static void no_memory(void **state)
{
    (void)state;
    variables = parsed(seed_variables);
    memory_sweep(no_memory_work, NULL);
    value_drop(variables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snippets), cmocka_unit_test(failures),    cmocka_unit_test(spans),
        cmocka_unit_test(too_much), cmocka_unit_test(deep_enough), cmocka_unit_test(own_limits),
        cmocka_unit_test(broken),   cmocka_unit_test(broken_real), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
