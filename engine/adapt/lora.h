/* lora.h -- low-rank adapters on the layers of a model, several by name, one of them active.
 *
 * y = x W^T + s * (x A^T) B^T with A [r, in], B [out, r], s = alpha / r (alpha / sqrt(r) with
 * rsLoRA). Source: Hu et al., "LoRA", 2021; names, defaults and initialisation as in PEFT. On the
 * token embedding y += s * B A[:, id] with A [r, V], B [H, r]. Besides A and B an adapter may own
 * copies of weights (modules_to_save) and biases, which stand in for the model's own while the
 * adapter is active. The model's own weights are never changed and need no gradient.
 *
 * Tied models: embedding and head are two layers over one weight, each with its own adapter or copy,
 * as in PEFT. */
#ifndef ENGINE_ADAPT_LORA_H
#define ENGINE_ADAPT_LORA_H

#include "engine/adapt/lora_config.h"
#include "engine/model/model.h"

struct lora_layer {
    struct module *module;    /* borrowed from the model */
    struct adapter_term term; /* owns a and b */
    int64_t r;
    double alpha;
};

enum lora_copy_kind {
    LORA_COPY_SAVED, /* of modules_to_save */
    LORA_COPY_BIAS,  /* of bias = "all" or "lora_only" */
    LORA_COPY_BASE,  /* an adapted layer's weight that came with the adapter's file: not trained */
};

struct lora_copy {
    enum lora_copy_kind kind;
    char *name;             /* of the model's tensor: "lm_head.weight" */
    int64_t saved;          /* bytes of the part of the name that modules_to_save named */
    bool adapted;           /* its layer has A and B too: PEFT calls the tensor base_layer.bias */
    struct tensor *tensor;  /* owned */
    struct tensor **stands; /* where it stands in: in a module's linear or a parameter */
};

struct lora {
    struct model *model; /* borrowed: the model owns the adapter */
    char *name;          /* "default" */
    struct lora_config config;
    int64_t count, copies;
    struct lora_layer *layers;
    struct lora_copy *copy;
    bool trainable; /* its tensors want gradients while it is active */
    bool enabled;   /* mirrors lora_set.enabled */
};

struct lora_merged; /* merge.c's: the weights that a merge replaced */

/* All adapters of a model: what model.adapter points to. */
struct lora_set {
    struct model *model;
    struct lora **items; /* owned */
    int64_t count, room;
    struct lora *active; /* never NULL while count > 0 */
    bool enabled;
    struct lora_merged *merged; /* NULL = not merged */
};

/* How a new adapter is made. */
struct lora_how {
    uint64_t seed;
    bool lenient; /* names and patterns without a meaning in this model are no error (files) */
    bool frozen;  /* not to be trained */
    bool blank;   /* A and B are zero: a file fills them */
};

/* Attaches a fresh adapter called "default" to a model that has none; the model owns it. Errors:
 * ERR_ARG when a target matches no layer (the message lists what there is), when the model has an
 * adapter already. On failure nothing is changed. */
int lora_attach(struct model *m, const struct lora_config *config, uint64_t seed,
                struct lora **out) MUST_CHECK;

/* Adds an adapter; the first one of a model becomes active, others stay in the background. Errors
 * as above, and when the name is taken or holds a dot. */
int lora_add(struct model *m, const char *name, const struct lora_config *config,
             const struct lora_how *how, struct lora **out) MUST_CHECK;

/* The model's active adapter, NULL = none; all of them; the one of a name, or NULL. */
struct lora *lora_of(const struct model *m);
struct lora_set *lora_set_of(const struct model *m);
struct lora *lora_find(const struct model *m, const char *name);

/* Makes the named one active. Errors: ERR_ARG naming those there are, or when merged. */
int lora_activate(struct model *m, const char *name) MUST_CHECK;

/* Takes one off and frees it; the last of the others becomes active. Same errors. */
int lora_remove(struct model *m, const char *name) MUST_CHECK;

/* Takes all adapters off and frees them. */
void lora_detach(struct model *m);

/* Switches the model's adapters on or off (generation without, DPO's reference). */
void lora_enable(struct lora *l, bool on);

/* Every tensor of an adapter: A and B of each layer, then copies. 'name' is the one in state_dict,
 * base_model.model.<module>.lora_A.<adapter>.weight, 'file' the one in adapter_model.safetensors,
 * without the adapter. */
struct lora_entry {
    const char *name, *file;
    struct tensor **tensor;
    const struct lora_layer *layer; /* NULL for a copy */
    const struct lora_copy *copy;   /* NULL for A and B */
};
typedef int (*lora_visit)(void *ctx, const struct lora_entry *e);
int lora_entries(struct lora *l, lora_visit visit, void *ctx);

/* The same as (name, tensor). */
int lora_walk(struct lora *l, model_visit visit, void *ctx);

int64_t lora_parameters(const struct lora *l);
int64_t lora_all_parameters(const struct model *m); /* of all adapters; 0 without one */

/* Every tensor of the model and its adapters under its state_dict name: with an adapter, names get
 * PEFT's "base_model.model.", targeted layers "base_layer" and saved ones "original_module". */
int lora_walk_all(struct model *m, model_visit visit, void *ctx);

/* For files: lora_add in two halves. A made adapter belongs to the caller (lora_free) until it is
 * adopted, which on failure leaves it with the caller. */
int lora_make(struct model *m, const char *name, const struct lora_config *config,
              const struct lora_how *how, struct lora **out) MUST_CHECK;
int lora_adopt(struct model *m, struct lora *l) MUST_CHECK;
void lora_free(struct lora *l); /* NULL is fine */

/* A copy of kind LORA_COPY_BASE for a module that came with its own weight; takes over 'weight'. */
int lora_add_base(struct lora *l, struct module *module, struct tensor *weight) MUST_CHECK;

/* For merge.c and files: puts the active adapter in its place, or nothing while switched off or
 * merged. Cannot fail. */
void lora_refresh(struct lora_set *set);

#endif
