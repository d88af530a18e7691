/* trainer.h -- the Lua classes TrainingArguments, SFTConfig and SFTTrainer. */
#ifndef LUA_TRAINER_H
#define LUA_TRAINER_H

#include "engine/data/lint.h"
#include "engine/train/trainer.h"
#include "lua/bind.h"

extern const struct lua_class training_arguments_class, sft_config_class, trainer_class;
extern const struct lua_class early_stopping_class;
extern const struct option_table sft_trainer_options, train_options, early_stopping_options;

/* A trainer and what it stands on. */
struct trainer_object {
    struct training_arguments args; /* a copy of its own */
    struct examples *train, *eval;
    struct lint train_lint, eval_lint; /* what is odd about their rows */
    struct trainer *trainer;
    struct model *model; /* kept */
    double seconds;      /* spent in training */
    bool attached;       /* the adapter was made for this trainer */
    bool begun;          /* train() was called: the output folder has been looked at */
    bool finished;       /* a run came to its end */
};

/* trainer:train() and trainer:evaluate(), in lua/trainer_loop.c */
int trainer_train(lua_State *L);
int trainer_run_evaluate(lua_State *L);

/* Pushes a value that the trainer at 'arg' keeps: model, args, processing_class, callbacks, control
 * (lua/trainer_state.c). */
void trainer_stored(lua_State *L, int arg, const char *name);
int trainer_get_state(lua_State *L);

/* Pushes global_step, max_steps, epoch ... of the trainer; 'logs': with log_history made at once,
 * else when it is first looked at. */
void trainer_push_state(lua_State *L, int arg, bool logs);
void trainer_push_log(lua_State *L, const struct trainer_log *e);

/* Callbacks (lua/trainer_callbacks.c). (options, object) on the stack: checks the list given. */
int trainer_take_callbacks(lua_State *L);
int trainer_add_callback(lua_State *L);
int trainer_remove_callback(lua_State *L);

/* Calls what the callbacks of the trainer at index 1 have for an event and carries out what they ask
 * for in control. 'entry': the log entry that they get as values, -1 = none. Returns false with the error on top when one fails. */
bool trainer_call(lua_State *L, const char *event, int64_t entry);

/* Saving, resuming, plotting (lua/trainer_save.c, trainer_resume.c). */
int trainer_save_model(lua_State *L);
int trainer_save_state(lua_State *L);
int trainer_plot(lua_State *L);

/* Before the first step of train(): what a killed run left behind is cleaned up, and 'resume' (NULL =
 * nothing, "true" = the newest, "auto" = that if there is any, else a path) is gone on from. Raises on failure. */
void trainer_begin(lua_State *L, struct trainer_object *o, const char *resume);

/* A signal or Ctrl-C ends the program: writes a checkpoint and prints how to go on. */
void trainer_rescue(lua_State *L, struct trainer_object *o);

/* The trainer at index 1 was last trained; when the shell is ended from outside, trainer_last_rescue
 * (a lua_CFunction without arguments) saves it if it is paused behind an unsaved step. */
void trainer_remember(lua_State *L);
int trainer_last_rescue(lua_State *L);

/* Tokenises the rows of the data set at 'data' into *out (lua/trainer_rows.c), after the options
 * about texts: eos_token and chat_template_path change the tokenizer. 'data' and 'format' (a function
 * or nil) are stack indices. What is odd goes to 'lint'; print_lint says it in notes. */
struct tokenizer;
void trainer_rows(lua_State *L, int data, struct tokenizer *t, int format,
                  const struct training_arguments *args, struct examples **out, struct lint *lint);
void trainer_print_lint(lua_State *L, const struct lint *l);
int trainer_lint(lua_State *L);

/* trainer:show_row(n), in lua/trainer_show.c */
int trainer_show_row(lua_State *L);
extern const struct option_table show_row_options;

/* Prints the plan: rows, tokens, steps, memory, time (lua/trainer_plan.c). */
void trainer_print_plan(lua_State *L, struct trainer_object *o, struct tokenizer *t);

#endif
