/* lora_config.c -- the option table of LoraConfig and the checks that span rows. */
#include "engine/adapt/lora_config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROW(field, kind, preset, ...) OPTION(struct lora_config, field, kind, preset, __VA_ARGS__)
#define NOT_HERE(name_, doc_, hint_)                                      \
    {                                                                     \
        .name = name_, .type = OPTION_REFUSED, .doc = doc_, .note = hint_ \
    }
#define PLAIN_LORA "leave it out: plain LoRA is what can be trained"

static const struct option rows[] = {
    ROW(r, INT, "8", .min = 1, .max = 65536, .doc = "rank of A and B"),
    ROW(lora_alpha, FLOAT, "8", .aliases = "alpha", .min = 0, .max = 1e6,
        .doc = "strength; the term is scaled by lora_alpha / r"),
    ROW(lora_dropout, FLOAT, "0.0", .aliases = "dropout", .min = 0, .max = 0.999,
        .doc = "share of the layer's input dropped in training, 0 to below 1"),
    ROW(target_modules, LIST, NULL,
        .doc = "layers to adapt: a list of names, \"all-linear\", or one pattern for whole paths "
               "(\".*\\.(q|v)_proj\"); default: the family's"),
    ROW(exclude_modules, LIST, NULL,
        .doc = "layers to leave alone: a list of names or one pattern"),
    ROW(modules_to_save, LIST, NULL,
        .doc = "layers to train as a whole, in a copy: lm_head, embed_tokens, norm ..."),
    ROW(rank_pattern, NUMBERS, NULL, .min = 1, .max = 65536,
        .doc = "another r for some layers: { q_proj = 16, [\"layers.0.mlp.up_proj\"] = 4 }"),
    ROW(alpha_pattern, NUMBERS, NULL, .min = 0, .max = 1e6,
        .doc = "another lora_alpha for some layers: { q_proj = 32 }"),
    ROW(layers_to_transform, LIST, NULL,
        .doc = "numbers of the layers to adapt, from 0: { 0, 1, 2 } or 5; default: all"),
    ROW(layers_pattern, LIST, NULL,
        .doc = "name of the list of layers that layers_to_transform counts in; default: any"),
    ROW(bias, TEXT, "none", .aliases = "bias_type", .choices = "none,all,lora_only",
        .doc = "which biases to train: none, all, or those of adapted layers"),
    ROW(use_rslora, BOOL, "false", .doc = "scale by lora_alpha / sqrt(r) instead"),
    ROW(init_lora_weights, TEXT, "true", .choices = "true,false,gaussian",
        .refused =
            "eva,olora,pissa,corda,loftq,lora_ga,orthogonal,mica,pissa_niter_4,pissa_niter_8,"
            "pissa_niter_16",
        .note = "true, false or \"gaussian\"; the others change the base model's own weights",
        .doc = "true: B starts at zero, so training starts from the base model; \"gaussian\": the "
               "same with normal A; false: B is random"),
    ROW(task_type, TEXT, "CAUSAL_LM", .choices = "CAUSAL_LM", .doc = "kind of task"),
    ROW(peft_type, TEXT, "LORA", .choices = "LORA", .doc = "kind of adapter"),
    ROW(base_model_name_or_path, TEXT, NULL,
        .doc = "the base model's name, for adapter_config.json; default: where it was loaded from"),
    ROW(revision, TEXT, NULL, .doc = "the base model's version, for adapter_config.json"),
    ROW(inference_mode, BOOL, "false", .doc = "true: the adapter is not trained"),
    {.name = "fan_in_fan_out",
     .type = OPTION_NOTE,
     .doc = "set by itself where a layer keeps its weight transposed",
     .note = "fan_in_fan_out is set by itself: no layer here keeps its weight transposed"},
    ROW(use_dora, BOOL, "false", .refused = "true", .note = PLAIN_LORA,
        .doc = "weight-decomposed adapters"),
    ROW(lora_bias, BOOL, "false", .refused = "true", .note = PLAIN_LORA,
        .doc = "a bias of its own for B"),
    ROW(ensure_weight_tying, BOOL, "false", .refused = "true",
        .note = "leave it out: embedding and head are adapted apart, as PEFT does by default",
        .doc = "one adapter for tied embeddings"),
    ROW(use_qalora, BOOL, "false", .refused = "true", .note = PLAIN_LORA,
        .doc = "adapters shaped for quantised weights"),
    ROW(use_bdlora, BOOL, "false", .refused = "true", .note = PLAIN_LORA,
        .doc = "block-diagonal adapters"),
    NOT_HERE("loftq_config", "LoftQ initialisation", PLAIN_LORA),
    NOT_HERE("eva_config", "EVA initialisation", PLAIN_LORA),
    NOT_HERE("corda_config", "CorDA initialisation", PLAIN_LORA),
    NOT_HERE("lora_ga_config", "LoRA-GA initialisation", PLAIN_LORA),
    NOT_HERE("kasa_config", "KaSA, a knowledge-aware variant", PLAIN_LORA),
    NOT_HERE("velora_config", "VeLoRA, compressed activations", PLAIN_LORA),
    NOT_HERE("monteclora_config", "MonteCLoRA, a Bayesian variant", PLAIN_LORA),
    NOT_HERE("arrow_config", "Arrow, routing between adapters", PLAIN_LORA),
    NOT_HERE("alora_invocation_tokens", "activated LoRA, from given tokens on", PLAIN_LORA),
    NOT_HERE("trainable_token_indices", "training of single rows of the embedding",
             "modules_to_save = {\"embed_tokens\"} trains the whole table"),
    NOT_HERE("target_parameters", "adapters on stacked expert weights", PLAIN_LORA),
    NOT_HERE("layer_replication", "layers used more than once", PLAIN_LORA),
    NOT_HERE("megatron_config", "Megatron layers", PLAIN_LORA),
    {.name = "auto_mapping",
     .type = OPTION_NOTE,
     .doc = "bookkeeping of PEFT",
     .note = "auto_mapping is not needed here"},
    {.name = "megatron_core",
     .type = OPTION_NOTE,
     .doc = "bookkeeping of PEFT",
     .note = "megatron_core is not needed here"},
    {.name = "qalora_group_size",
     .type = OPTION_NOTE,
     .doc = "bookkeeping of PEFT",
     .note = "qalora_group_size is not needed here"},
    {.name = "runtime_config",
     .type = OPTION_NOTE,
     .doc = "bookkeeping of PEFT",
     .note = "runtime_config is not needed here"},
    {.name = "peft_version",
     .type = OPTION_NOTE,
     .doc = "bookkeeping of PEFT",
     .note = "peft_version is written by itself"},
};

const struct option_table lora_options = {
    .name = "LoraConfig",
    .doc = "Low-rank adapters: which layers get one, and how large.",
    .rows = rows,
    .count = (int)(sizeof rows / sizeof *rows),
    .struct_bytes = sizeof(struct lora_config),
};

bool lora_plain_name(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return *text && text[strspn(text, plain)] == '\0';
}

int lora_config_check(struct lora_config *c)
{
    struct text_list *lists[] = {&c->target_modules, &c->exclude_modules, &c->modules_to_save,
                                 &c->layers_pattern};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (lists[i]->single && (i >= 2 || lora_plain_name(lists[i]->items[0])))
            lists[i]->single = false;
    c->layers_to_transform.single = false;
    for (int i = 0; i < c->layers_to_transform.count; i++) {
        const char *text = c->layers_to_transform.items[i];
        char *end;
        long long value = strtoll(text, &end, 10);
        if (end == text || *end || value < 0 || value > 1000000)
            return fail(ERR_ARG,
                        "LoraConfig: layers_to_transform: '%.40s' is no layer number; hint: { 0, "
                        "1, 2 }",
                        text);
    }
    if (c->layers_to_transform.count && c->target_modules.single)
        return fail(ERR_ARG, "LoraConfig: layers_to_transform works with a list of names, and "
                             "target_modules is a pattern; hint: put the numbers into the pattern, "
                             "or write target_modules = {\"q_proj\", ...}");
    if (c->layers_pattern.count && !c->layers_to_transform.count)
        return fail(ERR_ARG, "LoraConfig: layers_pattern needs layers_to_transform; hint: "
                             "layers_to_transform = { 0, 1 }");
    for (int i = 0; i < c->rank_pattern.count; i++) {
        const struct named_number *n = &c->rank_pattern.items[i];
        if (n->value != floor(n->value))
            return fail(ERR_ARG, "LoraConfig: rank_pattern: '%.60s' = %g, wanted a whole number",
                        n->name, n->value);
    }
    return OK;
}
