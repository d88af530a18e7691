/* lora_match.c -- names, patterns and layer numbers against the paths of a model. */
#include "engine/adapt/lora_match.h"
#include "engine/core/suggest.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATTERN_BYTES 4096

bool lora_name_ends(const char *path, const char *entry)
{
    size_t n = strlen(path), k = strlen(entry);
    return k <= n && !strcmp(path + n - k, entry) && (k == n || path[n - k - 1] == '.');
}

static bool list_has(const struct text_list *list, const char *path)
{
    for (int i = 0; i < list->count; i++)
        if (lora_name_ends(path, list->items[i]))
            return true;
    return false;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* --- patterns -------------------------------------------------------------------------------- */

static int compile(const char *option, const char *pattern, struct regex **out)
{
    int status = regex_compile(pattern, strlen(pattern), REGEX_FULL, out);
    return status == ERR_FORMAT ? fail(ERR_ARG,
                                       "LoraConfig: %s: the pattern '%.80s' is not "
                                       "understood: %s",
                                       option, pattern, regex_reason())
                                : status;
}

/* PEFT looks for re.match("(.*\.)?(KEY)$"). */
static int compile_keys(const char *option, const struct number_list *list, struct regex ***out)
{
    char text[PATTERN_BYTES + 16];
    if (!list->count)
        return OK;
    *out = mem_calloc((size_t)list->count, sizeof **out);
    if (!*out)
        return ERR_MEMORY;
    for (int i = 0; i < list->count; i++) {
        if (strlen(list->items[i].name) > PATTERN_BYTES)
            return fail(ERR_ARG, "LoraConfig: %s: a pattern of %zu bytes, at most %d are read",
                        option, strlen(list->items[i].name), PATTERN_BYTES);
        snprintf(text, sizeof text, "(?:.*\\.)?(?:%s)", list->items[i].name);
        TRY(compile(option, text, &(*out)[i]));
    }
    return OK;
}

static void free_keys(struct regex **keys, int count)
{
    for (int i = 0; keys && i < count; i++)
        regex_free(keys[i]);
    mem_free(keys);
}

int lora_match_open(struct lora_match *x, const struct model *m, const struct lora_config *config)
{
    *x = (struct lora_match){.config = config, .model = m};
    int status = OK;
    if (config->target_modules.single)
        status = compile("target_modules", config->target_modules.items[0], &x->target);
    if (!status && config->exclude_modules.single)
        status = compile("exclude_modules", config->exclude_modules.items[0], &x->exclude);
    if (!status)
        status = compile_keys("rank_pattern", &config->rank_pattern, &x->rank);
    if (!status)
        status = compile_keys("alpha_pattern", &config->alpha_pattern, &x->alpha);
    if (status)
        lora_match_close(x);
    return status;
}

void lora_match_close(struct lora_match *x)
{
    regex_free(x->target);
    regex_free(x->exclude);
    if (x->config) {
        free_keys(x->rank, x->config->rank_pattern.count);
        free_keys(x->alpha, x->config->alpha_pattern.count);
    }
    *x = (struct lora_match){0};
}

/* --- targets --------------------------------------------------------------------------------- */

/* The number after the named list ("layers.3." gives 3), or after the first part that a number
 * follows; -1 = none. */
static long layer_number(const struct lora_config *c, const char *path)
{
    for (const char *p = strchr(path, '.'); p; p = strchr(p + 1, '.')) {
        char *end;
        if (p[1] < '0' || p[1] > '9')
            continue;
        long number = strtol(p + 1, &end, 10);
        if (*end != '.')
            continue;
        bool named = !c->layers_pattern.count;
        for (int i = 0; i < c->layers_pattern.count && !named; i++) {
            size_t n = strlen(c->layers_pattern.items[i]);
            named = (size_t)(p - path) >= n && !strncmp(p - n, c->layers_pattern.items[i], n) &&
                    ((size_t)(p - path) == n || p[-(long)n - 1] == '.');
        }
        if (named)
            return number;
    }
    return -1;
}

static bool layer_wanted(const struct lora_config *c, const char *path)
{
    if (!c->layers_to_transform.count)
        return true;
    long number = layer_number(c, path);
    for (int i = 0; i < c->layers_to_transform.count && number >= 0; i++)
        if (strtol(c->layers_to_transform.items[i], NULL, 10) == number)
            return true;
    return false;
}

/* As PEFT: a part of the path that ends with the entry. */
bool lora_match_saved(const struct lora_config *c, const char *path, size_t *length)
{
    size_t whole = strlen(path);
    for (size_t at = 1; at <= whole; at++) {
        if (path[at] != '.' && path[at] != '\0')
            continue;
        for (int i = 0; i < c->modules_to_save.count; i++) {
            size_t n = strlen(c->modules_to_save.items[i]);
            if (n && n <= at && !strncmp(path + at - n, c->modules_to_save.items[i], n)) {
                *length = at;
                return true;
            }
        }
    }
    return false;
}

int lora_match_target(const struct lora_match *x, const struct module *module, bool *wanted)
{
    const struct lora_config *c = x->config;
    const char *path = module->name;
    size_t length;
    bool excluded = lora_match_saved(c, path, &length);
    *wanted = false;
    if (!excluded && x->exclude)
        TRY(regex_matches(x->exclude, path, &excluded));
    else if (!excluded)
        excluded = list_has(&c->exclude_modules, path);
    if (excluded)
        return OK;
    if (x->target)
        return regex_matches(x->target, path, wanted);
    *wanted = list_has(&c->target_modules, path) && layer_wanted(c, path);
    return OK;
}

static int first_key(struct regex **keys, const struct number_list *list, const char *path,
                     double *value)
{
    for (int i = 0; i < list->count; i++) {
        bool found;
        TRY(regex_matches(keys[i], path, &found));
        if (found) {
            *value = list->items[i].value;
            break;
        }
    }
    return OK;
}

int lora_match_values(const struct lora_match *x, const char *path, int64_t *r, double *alpha)
{
    double rank = (double)x->config->r;
    *alpha = x->config->lora_alpha;
    TRY(first_key(x->rank, &x->config->rank_pattern, path, &rank));
    TRY(first_key(x->alpha, &x->config->alpha_pattern, path, alpha));
    *r = (int64_t)rank;
    return OK;
}

/* --- expansion ------------------------------------------------------------------------------- */

static bool is_all_linear(const struct text_list *targets)
{
    return targets->count == 1 && !strcasecmp(targets->items[0], "all-linear");
}

/* The last parts of the linear layers' paths, each once; 'out' has room for all modules. */
static int linear_names(const struct model *m, const char **out)
{
    int count = 0;
    for (int64_t i = 0; i < m->module_count; i++) {
        const char *part = last_part(m->modules[i].name);
        bool known = m->modules[i].kind != MODULE_LINEAR;
        for (int j = 0; j < count && !known; j++)
            known = !strcmp(out[j], part);
        if (!known)
            out[count++] = part;
    }
    return count;
}

int lora_match_expand(const struct model *m, struct lora_config *config)
{
    const struct option *o;
    TRY(options_find(&lora_options, "target_modules", &o));
    if (!config->target_modules.count)
        return options_parse(&lora_options, o, config, m->arch->lora_targets);
    if (!is_all_linear(&config->target_modules))
        return OK;
    const char **names = mem_calloc((size_t)m->module_count, sizeof *names);
    if (!names)
        return ERR_MEMORY;
    int count = linear_names(m, names);
    int status = options_set_list(&lora_options, o, config, names, count);
    mem_free(names);
    return status;
}

/* --- what matches nothing -------------------------------------------------------------------- */

/* Names that other models give to what a llama calls otherwise. */
static const struct {
    const char *name, *here;
} elsewhere[] = {
    {"Wqkv", "q_proj, k_proj and v_proj"},
    {"Wgqkv", "q_proj, k_proj and v_proj"},
    {"c_attn", "q_proj, k_proj and v_proj"},
    {"qkv_proj", "q_proj, k_proj and v_proj"},
    {"query_key_value", "q_proj, k_proj and v_proj"},
    {"W_pack", "q_proj, k_proj and v_proj"},
    {"in_proj", "q_proj, k_proj and v_proj"},
    {"wq", "q_proj"},
    {"wk", "k_proj"},
    {"wv", "v_proj"},
    {"wo", "o_proj"},
    {"query", "q_proj"},
    {"key", "k_proj"},
    {"value", "v_proj"},
    {"dense", "o_proj"},
    {"out_proj", "o_proj"},
    {"c_proj", "o_proj and down_proj"},
    {"fc1", "gate_proj and up_proj"},
    {"c_fc", "gate_proj and up_proj"},
    {"gate_up_proj", "gate_proj and up_proj"},
    {"dense_h_to_4h", "gate_proj and up_proj"},
    {"fc2", "down_proj"},
    {"dense_4h_to_h", "down_proj"},
    {"w1", "gate_proj"},
    {"w2", "down_proj"},
    {"w3", "up_proj"},
    {"wte", "embed_tokens"},
    {"embed_in", "embed_tokens"},
    {"tok_embeddings", "embed_tokens"},
    {"embed_out", "lm_head"},
    {"output", "lm_head"},
};

/* "q_proj, k_proj, ..., embed_tokens, lm_head", and norms when asked for */
static void list_parts(const struct model *m, bool norms, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < m->module_count && used < bytes; i++) {
            const char *part = last_part(m->modules[i].name);
            bool known = (m->modules[i].kind != MODULE_LINEAR) != pass;
            for (int64_t j = 0; j < i && !known; j++)
                known = !strcmp(last_part(m->modules[j].name), part);
            if (!known)
                used += (size_t)snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", part);
        }
    if (norms && used < bytes)
        snprintf(out + used, bytes - used, ", norm and the like");
}

/* "hint: this model calls it ..." or the nearest name, then what there is. */
static int no_such(const struct lora_match *x, const char *option, const char *name, bool norms)
{
    char parts[512], near[160] = "";
    struct suggest s = {.wanted = name};
    list_parts(x->model, norms, parts, sizeof parts);
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere && !near[0]; i++)
        if (!strcmp(last_part(name), elsewhere[i].name))
            snprintf(near, sizeof near, "; this model has %s instead", elsewhere[i].here);
    for (int64_t i = 0; i < x->model->module_count && !near[0]; i++)
        suggest_try(&s, last_part(x->model->modules[i].name));
    if (!near[0])
        suggest_hint(&s, near, sizeof near);
    return fail(ERR_ARG,
                "LoraConfig: %s: '%.60s' matches no layer of this model%s; hint: it has %s%s",
                option, name, near, parts, norms ? "" : ", or \"all-linear\"");
}

static int check_names(const struct lora_match *x, const char *option, const struct text_list *list)
{
    for (int i = 0; i < list->count; i++) {
        bool found = false;
        for (int64_t k = 0; k < x->model->module_count && !found; k++)
            found = lora_name_ends(x->model->modules[k].name, list->items[i]);
        if (!found)
            return no_such(x, option, list->items[i], false);
    }
    return OK;
}

static bool saved_somewhere(const struct lora_match *x, const char *entry)
{
    char *items[] = {(char *)(uintptr_t)entry};
    struct lora_config one = {.modules_to_save = {.count = 1, .items = items}};
    size_t length;
    for (int64_t k = 0; k < x->model->module_count; k++)
        if (lora_match_saved(&one, x->model->modules[k].name, &length))
            return true;
    for (int64_t k = 0; k < x->model->parameter_count; k++) {
        char path[256];
        const char *dot = strrchr(x->model->parameters[k].name, '.');
        int n = dot ? (int)(dot - x->model->parameters[k].name) : 0;
        snprintf(path, sizeof path, "%.*s", n, x->model->parameters[k].name);
        if (lora_match_saved(&one, path, &length))
            return true;
    }
    return false;
}

static int check_layers(const struct lora_match *x)
{
    const struct text_list *list = &x->config->layers_to_transform;
    for (int i = 0; i < list->count; i++) {
        long number = strtol(list->items[i], NULL, 10);
        bool found = false;
        for (int64_t k = 0; k < x->model->module_count && !found; k++)
            found = layer_number(x->config, x->model->modules[k].name) == number;
        if (!found)
            return fail(ERR_ARG,
                        "LoraConfig: layers_to_transform: no layer %ld%s%s%s; hint: this model has "
                        "layers 0 to %" PRId64,
                        number, x->config->layers_pattern.count ? " in '" : "",
                        x->config->layers_pattern.count ? x->config->layers_pattern.items[0] : "",
                        x->config->layers_pattern.count ? "'" : "",
                        x->model->config.num_hidden_layers - 1);
    }
    return OK;
}

/* Each key is of use, and keys that match the same layer agree: PEFT takes the first, but sorts
 * them when it saves. */
static int check_keys(const struct lora_match *x, const char *option, struct regex **keys,
                      const struct number_list *list)
{
    for (int i = 0; i < list->count; i++) {
        bool used = false;
        for (int64_t k = 0; k < x->model->module_count; k++) {
            const struct module *module = &x->model->modules[k];
            bool wanted, mine, other;
            TRY(lora_match_target(x, module, &wanted));
            if (!wanted)
                continue;
            TRY(regex_matches(keys[i], module->name, &mine));
            used = used || mine;
            for (int j = 0; j < i && mine; j++) {
                TRY(regex_matches(keys[j], module->name, &other));
                if (other && list->items[i].value != list->items[j].value)
                    return fail(ERR_ARG,
                                "LoraConfig: %s: '%.60s' and '%.60s' both match %s and disagree; "
                                "hint: write patterns of which one matches each layer",
                                option, list->items[j].name, list->items[i].name, module->name);
            }
        }
        if (!used) {
            char parts[512];
            list_parts(x->model, false, parts, sizeof parts);
            return fail(ERR_ARG,
                        "LoraConfig: %s: '%.60s' matches no adapted layer; hint: the end of a path "
                        "from a dot on, such as q_proj or layers.0.mlp.up_proj; this model has %s",
                        option, list->items[i].name, parts);
        }
    }
    return OK;
}

int lora_match_check(const struct lora_match *x)
{
    const struct lora_config *c = x->config;
    if (!x->target)
        TRY(check_names(x, "target_modules", &c->target_modules));
    if (!x->exclude)
        TRY(check_names(x, "exclude_modules", &c->exclude_modules));
    for (int i = 0; i < c->modules_to_save.count; i++)
        if (!saved_somewhere(x, c->modules_to_save.items[i]))
            return no_such(x, "modules_to_save", c->modules_to_save.items[i], true);
    TRY(check_layers(x));
    TRY(check_keys(x, "rank_pattern", x->rank, &c->rank_pattern));
    return check_keys(x, "alpha_pattern", x->alpha, &c->alpha_pattern);
}

int lora_match_nothing(const struct lora_match *x)
{
    const struct lora_config *c = x->config;
    char parts[512];
    list_parts(x->model, false, parts, sizeof parts);
    if (x->target)
        return fail(ERR_ARG,
                    "LoraConfig: target_modules: the pattern '%.80s' matches no layer; hint: a "
                    "pattern is for whole paths, such as %s; names go into a list, "
                    "{\"q_proj\"}; this model has %s",
                    c->target_modules.items[0], x->model->modules[1].name, parts);
    if (c->exclude_modules.count || c->modules_to_save.count)
        return fail(ERR_ARG, "LoraConfig: exclude_modules and modules_to_save leave no layer to "
                             "adapt");
    return fail(ERR_ARG,
                "LoraConfig: target_modules match no layer of this model; hint: it has %s, or "
                "\"all-linear\"",
                parts);
}
