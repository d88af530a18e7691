/* lora_match.h -- which layers of a model a LoraConfig means, and with which rank and strength.
 *
 * The rules are PEFT's: a layer is left out when exclude_modules or modules_to_save names it; a
 * list of targets matches the ends of paths at a dot, one text matches whole paths as a pattern;
 * rank_pattern and alpha_pattern: the first key for which (.*\.)?(KEY) matches the whole path. */
#ifndef ENGINE_ADAPT_LORA_MATCH_H
#define ENGINE_ADAPT_LORA_MATCH_H

#include "engine/adapt/lora_config.h"
#include "engine/core/regex.h"
#include "engine/model/model.h"

struct lora_match {
    const struct lora_config *config; /* borrowed, as the model */
    const struct model *model;
    struct regex *target, *exclude; /* of single texts */
    struct regex **rank, **alpha;   /* of each key */
};

/* Compiles the patterns. Errors: ERR_ARG naming the option, ERR_MEMORY. */
int lora_match_open(struct lora_match *x, const struct model *m,
                    const struct lora_config *config) MUST_CHECK;
void lora_match_close(struct lora_match *x); /* zeroed is fine */

/* Does this module get A and B? */
int lora_match_target(const struct lora_match *x, const struct module *module,
                      bool *wanted) MUST_CHECK;

/* Rank and alpha of the path. */
int lora_match_values(const struct lora_match *x, const char *path, int64_t *r,
                      double *alpha) MUST_CHECK;

/* Is the layer or norm of this path trained as a whole? *length: bytes of the part of the path that
 * modules_to_save named ("model.layers.0.mlp" of "model.layers.0.mlp.up_proj"). */
bool lora_match_saved(const struct lora_config *config, const char *path, size_t *length);

/* Every name and pattern must mean something in this model, and no two patterns may disagree about a
 * layer. Errors: ERR_ARG that lists what there is, with the nearest name. */
int lora_match_check(const struct lora_match *x) MUST_CHECK;

/* "all-linear" becomes the list of the names of all linear layers but the head's; no targets become
 * the family's preset. */
int lora_match_expand(const struct model *m, struct lora_config *config) MUST_CHECK;

/* Nothing was adapted: what there is and how to say it. */
int lora_match_nothing(const struct lora_match *x) MUST_CHECK;

/* Equal, or ends with "." and the entry. */
bool lora_name_ends(const char *path, const char *entry);

#endif
