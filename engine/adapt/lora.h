/* lora.h -- low-rank adapters on the linear layers of a model.
 *
 * y = x W^T + s * (x A^T) B^T with A [r, in], B [out, r], s = alpha / r (alpha / sqrt(r) with
 * rsLoRA). Source: Hu et al., "LoRA", 2021; names, defaults and initialisation as in PEFT: A uniform
 * in +-1/sqrt(in), B zero. Attaching freezes the base. */
#ifndef ENGINE_ADAPT_LORA_H
#define ENGINE_ADAPT_LORA_H

#include "engine/core/options.h"
#include "engine/model/model.h"

struct lora_config {
    int64_t r;
    double lora_alpha, lora_dropout;
    struct text_list target_modules, exclude_modules; /* empty targets: the family's preset */
    char *bias, *task_type;
    bool init_lora_weights, use_rslora;
};
extern const struct option_table lora_options;

struct lora_layer {
    struct module *module;    /* borrowed from the model */
    struct adapter_term term; /* owns a and b */
};

struct lora {
    struct model *model; /* borrowed: the model owns the adapter */
    struct lora_config config;
    int64_t count;
    struct lora_layer *layers;
    bool enabled;
};

/* Attaches a fresh adapter; the model owns it. Errors: ERR_ARG when a target matches no layer (the
 * message lists what there is), when the model has an adapter already. */
int lora_attach(struct model *m, const struct lora_config *config, uint64_t seed,
                struct lora **out) MUST_CHECK;

/* The model's adapter, NULL = none. */
struct lora *lora_of(const struct model *m);

/* Takes the adapter off and frees it. */
void lora_detach(struct model *m);

/* Switches all terms on or off (generation without the adapter, DPO's reference). */
void lora_enable(struct lora *l, bool on);

/* Walks A and B of every layer, named as in PEFT's state_dict:
 * base_model.model.<module>.lora_A.default.weight. */
int lora_walk(struct lora *l, model_visit visit, void *ctx);

int64_t lora_parameters(const struct lora *l);

/* Every tensor of the model and its adapter under its state_dict name: with an adapter, names get
 * PEFT's "base_model.model." and targeted layers "base_layer". */
int lora_walk_all(struct model *m, model_visit visit, void *ctx);

#endif
