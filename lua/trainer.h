/* trainer.h -- the Lua classes TrainingArguments, SFTConfig and SFTTrainer. */
#ifndef LUA_TRAINER_H
#define LUA_TRAINER_H

#include "engine/train/trainer.h"
#include "lua/bind.h"

extern const struct lua_class training_arguments_class, sft_config_class, trainer_class;
extern const struct option_table sft_trainer_options;

/* A trainer and what it stands on. */
struct trainer_object {
    struct training_arguments args; /* a copy of its own */
    struct examples *train, *eval;
    struct trainer *trainer;
    struct model *model; /* kept */
    double seconds;      /* spent in training */
    bool attached;       /* the adapter was made for this trainer */
};

/* trainer:train() and trainer:evaluate(), in lua/trainer_loop.c */
int trainer_train(lua_State *L);
int trainer_run_evaluate(lua_State *L);

/* Tokenises the rows of the data set at 'data' into *out (lua/trainer_rows.c). 'tokenizer' and
 * 'format' (a function or nil) are stack indices. */
struct tokenizer;
void trainer_rows(lua_State *L, int data, struct tokenizer *t, int format,
                  const struct training_arguments *args, struct examples **out);

/* Prints the plan: rows, tokens, steps, memory, time (lua/trainer_plan.c). */
void trainer_print_plan(lua_State *L, struct trainer_object *o, struct tokenizer *t);

#endif
