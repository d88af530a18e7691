/* lora_config.h -- what an adapter should be: PEFT's LoraConfig.
 *
 * Names, meanings and defaults are PEFT's. What PEFT has and we have not (DoRA, PiSSA, LoftQ ...) is
 * refused by its name. */
#ifndef ENGINE_ADAPT_LORA_CONFIG_H
#define ENGINE_ADAPT_LORA_CONFIG_H

#include "engine/core/options.h"

struct lora_config {
    int64_t r;
    double lora_alpha, lora_dropout;
    /* A list holds names, each for layers of that name or whose path ends with it; one text (single)
     * is a pattern for the whole path. Empty targets: the family's preset. */
    struct text_list target_modules, exclude_modules;
    struct text_list modules_to_save;     /* layers and norms trained as a whole, in a copy */
    struct text_list layers_to_transform; /* numbers of layers; empty = all */
    struct text_list layers_pattern;      /* name of the list of layers; empty = any */
    struct number_list rank_pattern, alpha_pattern; /* pattern of a path's end = value */
    char *bias;                                     /* none, all, lora_only */
    char *init_lora_weights;                        /* true, false, gaussian */
    char *task_type, *peft_type, *base_model_name_or_path, *revision;
    bool use_rslora, inference_mode, use_dora, lora_bias, ensure_weight_tying, use_qalora,
        use_bdlora;
};
extern const struct option_table lora_options;

/* What no single row can say: layer numbers are whole, ranks are whole. A text of target_modules or
 * exclude_modules that is a plain name becomes a list of one. Errors: ERR_ARG. */
int lora_config_check(struct lora_config *c) MUST_CHECK;

/* True when the text has nothing of a pattern in it: letters, digits, '_', '-' and '.' only. */
bool lora_plain_name(const char *text);

#endif
