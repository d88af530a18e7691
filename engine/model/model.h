/* model.h -- a language model: configuration, named parameters, and the family that wires them.
 *
 * A family is a row in architectures[] and one file. Linear layers, the table of token embeddings and
 * the head are named modules, so that adapters can be attached to them and state_dict can list
 * them. A family reads weights through linear_weight() and parameter_tensor(): an adapter that
 * trains a copy (modules_to_save) puts it in the weight's place while it is active. */
#ifndef ENGINE_MODEL_MODEL_H
#define ENGINE_MODEL_MODEL_H

#include "engine/model/batch.h"
#include "engine/model/config.h"
#include "engine/model/source.h"
#include "engine/tensor/ops.h"

struct model;

enum module_kind {
    MODULE_LINEAR,
    MODULE_EMBEDDING, /* a table read by op_embedding */
    MODULE_HEAD,      /* the linear layer that makes logits */
};

/* A named layer. */
struct module {
    char *name; /* "model.layers.0.self_attn.q_proj" */
    enum module_kind kind;
    bool tied; /* the head of a tied model: its weight is the embedding's, and is walked there */
    struct linear linear;
};

/* A named tensor that is no module's: a norm's weight. */
struct parameter {
    char *name; /* "model.norm.weight" */
    struct tensor *tensor;
    struct tensor *copy; /* stands in for it while an adapter trains it; borrowed, NULL = none */
};

static inline struct tensor *parameter_tensor(const struct parameter *p)
{
    return p->copy ? p->copy : p->tensor;
}

struct architecture {
    const char *model_type;   /* "llama" */
    const char *class_name;   /* "LlamaForCausalLM" */
    const char *lora_targets; /* default target modules, comma-separated */
    /* Takes every tensor from the source into m->modules, m->parameters and m->family. */
    int (*build)(struct model *m, struct weight_source *source);
    /* Normalised hidden states [T, H] of every token. */
    int (*forward)(struct model *m, const struct batch *b, struct tensor **hidden);
    void (*free_family)(struct model *m);
};

struct model {
    int refs;
    const struct architecture *arch;
    struct context *ctx; /* kept */
    struct model_config config;
    char *path; /* file or folder it came from */
    char *name; /* what it was asked for as: that path, or a name on the hub ("owner/name") */
    char *config_json;           /* the text of its config.json; NULL for GGUF */
    double *rope_factors;        /* [head_dim / 2] of a GGUF that no settings give; NULL = none */
    const struct format *format; /* asked for, NULL = as stored */
    struct module *modules;      /* fixed after build: adapters point into it */
    int64_t module_count, module_room;
    struct parameter *parameters;
    int64_t parameter_count, parameter_room;
    struct module *embedding, *head; /* [V,H] each, of modules; one weight when tied */
    void *family;                    /* the architecture's own */
    void *adapter;                   /* engine/adapt's lora, or NULL; freed through free_adapter */
    void (*free_adapter)(void *adapter);
    volatile int *cancel; /* polled between layers; NULL = never cancelled */
    int cancel_at;        /* stops when *cancel reaches this */
};

extern const struct architecture *const architectures[]; /* ends with NULL */

/* Opens a GGUF file, or a folder with config.json and safetensors files, or one such file of a
 * folder (engine/model/locate.h finds the path behind a name). 'dtype' NULL or "auto" keeps each weight as stored; "float32" decodes all.
 * Errors name the file and the tensor or key. */
int model_load(struct context *ctx, const char *path, const char *dtype,
               struct model **out) MUST_CHECK;

/* The same where locate_model found 'path' for 'name'. */
int model_load_named(struct context *ctx, const char *path, const char *name, const char *dtype,
                     struct model **out) MUST_CHECK;

/* The format of a dtype's name: "float32", "f32", "bfloat16" ...; NULL for NULL and "auto", which
 * mean as stored. Errors: ERR_ARG. */
int model_wanted_format(const char *dtype, const struct format **out) MUST_CHECK;

struct model *model_keep(struct model *m);
void model_release(struct model *m); /* NULL is fine */

/* For families: make the named layer or parameter from the source. The returned pointers stay
 * valid until the model is freed (room is reserved by model_reserve first). */
int model_reserve(struct model *m, int64_t modules, int64_t parameters) MUST_CHECK;
int model_add_linear(struct model *m, struct weight_source *s, const char *name, int64_t out_rows,
                     int64_t in_cols, struct module **out) MUST_CHECK;
int model_add_parameter(struct model *m, struct weight_source *s, const char *name, int64_t rows,
                        int64_t cols, struct parameter **out) MUST_CHECK;

/* The modules m->embedding ("model.embed_tokens") and m->head ("lm_head", of the same weight in a
 * tied model). */
int model_add_embedding(struct model *m, struct weight_source *s, const char *name) MUST_CHECK;
int model_add_head(struct model *m, struct weight_source *s, const char *name) MUST_CHECK;

/* Hidden states, see architecture.forward. ERR_CANCELLED when *cancel became set. */
int model_forward(struct model *m, const struct batch *b, struct tensor **hidden) MUST_CHECK;

/* Logits [n, V] of the rows 'rows' (I32 [n]) of the hidden states; NULL = all rows. */
int model_logits(struct model *m, struct tensor *hidden, struct tensor *rows,
                 struct tensor **logits) MUST_CHECK;

/* scale * sum of weighted cross-entropies over the batch's targets; forward included. tally: see
 * op_linear_cross_entropy. A batch without targets gives a zero that needs no gradient. */
int model_loss(struct model *m, const struct batch *b, double scale, double smoothing,
               const struct loss_tally *tally, struct tensor **loss) MUST_CHECK;

/* Walks every tensor of the model itself under its state_dict name, a tied weight once (as the
 * embedding's); stops at the first non-zero status. Adapters are walked by engine/adapt. */
typedef int (*model_visit)(void *ctx, const char *name, struct tensor *t);
int model_walk(struct model *m, model_visit visit, void *ctx);

int64_t model_parameters(struct model *m); /* logical weights, tied ones once */
int64_t model_bytes(struct model *m);      /* as stored */

struct module *model_module(struct model *m, const char *name); /* NULL = none */

#endif
