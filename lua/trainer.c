/* trainer.c -- the Lua classes TrainingArguments, SFTConfig and SFTTrainer. */
#include "lua/trainer.h"
#include "engine/adapt/lora.h"
#include "engine/text/tokenizer.h"
#include "lua/adapter.h"
#include "lua/model.h"
#include "lua/tokenizer.h"

#include <string.h>

/* --- TrainingArguments and SFTConfig: the same struct under two tables ------------------------ */

static int construct_arguments(lua_State *L, const struct lua_class *class,
                               const struct option_table *table)
{
    lua_settop(L, 1);
    struct training_arguments *a = bind_new(L, class, sizeof *a);
    bind_check(L, options_init(table, a));
    bind_options(L, 1, table, a);
    return 1;
}

static int make_plain(lua_State *L)
{
    return construct_arguments(L, &training_arguments_class, &training_arguments);
}

static int make_sft(lua_State *L)
{
    return construct_arguments(L, &sft_config_class, &sft_config);
}

static int arguments_gc(lua_State *L)
{
    options_free(&training_arguments, lua_touserdata(L, 1));
    return 0;
}

static int plain_get(lua_State *L)
{
    return config_get(L, &training_arguments, lua_touserdata(L, 1));
}

static int plain_set(lua_State *L)
{
    return config_set(L, &training_arguments, lua_touserdata(L, 1));
}

static int plain_show(lua_State *L)
{
    return config_show(L, &training_arguments, lua_touserdata(L, 1));
}

static int sft_get(lua_State *L)
{
    return config_get(L, &sft_config, lua_touserdata(L, 1));
}

static int sft_set(lua_State *L)
{
    return config_set(L, &sft_config, lua_touserdata(L, 1));
}

static int sft_show(lua_State *L)
{
    return config_show(L, &sft_config, lua_touserdata(L, 1));
}

static const luaL_Reg plain_meta[] = {
    {"__gc", arguments_gc}, {"__tostring", plain_show}, {NULL, NULL}};
static const luaL_Reg sft_meta[] = {{"__gc", arguments_gc}, {"__tostring", sft_show}, {NULL, NULL}};

const struct lua_class training_arguments_class = {
    .name = "TrainingArguments",
    .doc = "How to train: amounts, optimiser, logging. Names and defaults as in transformers.",
    .construct = make_plain,
    .signature = "TrainingArguments{ num_train_epochs = 1, learning_rate = 2e-4 }",
    .options = &training_arguments,
    .meta = plain_meta,
    .index = plain_get,
    .newindex = plain_set,
};

const struct lua_class sft_config_class = {
    .name = "SFTConfig",
    .doc = "TrainingArguments with the defaults of TRL's SFTConfig.",
    .construct = make_sft,
    .signature = "SFTConfig{ num_train_epochs = 1, learning_rate = 2e-4 }",
    .options = &sft_config,
    .meta = sft_meta,
    .index = sft_get,
    .newindex = sft_set,
};

/* --- SFTTrainer's own options ----------------------------------------------------------------- */

#define OBJECT(name_, aliases_, doc_)                                          \
    {                                                                          \
        .name = name_, .aliases = aliases_, .type = OPTION_OBJECT, .doc = doc_ \
    }
#define NOTE(name_, doc_, note_)                                       \
    {                                                                  \
        .name = name_, .type = OPTION_NOTE, .doc = doc_, .note = note_ \
    }

static const struct option trainer_rows_options[] = {
    OBJECT("model", NULL, "the model to train"),
    OBJECT("args", NULL, "TrainingArguments{...} or SFTConfig{...}"),
    OBJECT("train_dataset", NULL, "Dataset or DataFrame of the rows to learn"),
    OBJECT("eval_dataset", NULL, "Dataset or DataFrame to evaluate on"),
    OBJECT("processing_class", "tokenizer", "the tokenizer"),
    OBJECT("peft_config", NULL, "LoraConfig{...}: gives the model a fresh adapter"),
    OBJECT("callbacks", NULL, "list of tables of functions, and EarlyStoppingCallback{...}"),
    OBJECT("formatting_func", NULL, "function(row) that gives the text of a row"),
    OBJECT("dataset_text_field", NULL, "older place of the option of that name in args"),
    OBJECT("max_length", "max_seq_length,max_sequence", "older place of the option in args"),
    NOTE("packing", "fill rows with several examples",
         "packing: rows are always packed, without one seeing the other"),
    NOTE("data_collator", "pads a batch", "data_collator is not needed: nothing is ever padded"),
    NOTE("dataset_batch_size", "rows tokenised at a time", NULL),
};

const struct option_table sft_trainer_options = {
    .name = "SFTTrainer",
    .doc = "Supervised fine-tuning: a model, rows, and how to train.",
    .rows = trainer_rows_options,
    .count = (int)(sizeof trainer_rows_options / sizeof *trainer_rows_options),
    .struct_bytes = 1,
};

/* --- making a trainer -------------------------------------------------------------------------- */

static void field(lua_State *L, const char *name)
{
    bind_field(L, 1, &sft_trainer_options, name);
}

/* A copy of args (or the defaults), with the older options of SFTTrainer itself put in. */
static void take_arguments(lua_State *L, struct trainer_object *o)
{
    char found[80];
    field(L, "args");
    void *plain = bind_test(L, -1, &training_arguments_class);
    void *sft = bind_test(L, -1, &sft_config_class);
    if (!plain && !sft && !lua_isnil(L, -1))
        bind_error(L, "SFTTrainer: args wants TrainingArguments{...} or SFTConfig{...}, found %s",
                   bind_describe(L, -1, found, sizeof found));
    if (plain || sft)
        bind_check(L, options_copy(&training_arguments, &o->args, plain ? plain : sft));
    else
        bind_check(L, options_init(&sft_config, &o->args));
    lua_pop(L, 1);
    lua_newtable(L);
    field(L, "dataset_text_field");
    lua_setfield(L, -2, "dataset_text_field");
    field(L, "max_length");
    lua_setfield(L, -2, "max_length");
    bind_options(L, -1, &training_arguments, &o->args);
    lua_pop(L, 1);
}

static void take_model(lua_State *L, struct trainer_object *o)
{
    char found[80];
    struct lora *l;
    field(L, "model");
    if (!bind_test(L, -1, &model_class))
        bind_error(L,
                   "SFTTrainer: model wants a Model, found %s; hint: "
                   "AutoModelForCausalLM.from_pretrained(path)",
                   bind_describe(L, -1, found, sizeof found));
    o->model = model_keep(lua_model_arg(L, -1));
    lua_pop(L, 1);
    field(L, "peft_config");
    if (!lua_isnil(L, -1)) {
        bind_check(L, lora_attach(o->model, lua_lora_arg(L, -1), (uint64_t)o->args.seed, &l));
        o->attached = true;
    } else if (!lora_of(o->model)) {
        bind_check(L, trainer_unfreeze(o->model));
    }
    lua_pop(L, 1);
}

static void take_rows(lua_State *L, struct trainer_object *o, struct tokenizer *t)
{
    char found[80];
    field(L, "formatting_func");
    int format = lua_gettop(L);
    if (!lua_isnil(L, format) && !lua_isfunction(L, format))
        bind_error(L, "SFTTrainer: formatting_func wants a function, found %s",
                   bind_describe(L, format, found, sizeof found));
    field(L, "train_dataset");
    trainer_rows(L, lua_gettop(L), t, format, &o->args, &o->train, &o->train_lint);
    field(L, "eval_dataset");
    if (!lua_isnil(L, -1))
        trainer_rows(L, lua_gettop(L), t, format, &o->args, &o->eval, &o->eval_lint);
    lua_settop(L, format - 1);
}

/* Things a person would want to know before the first step. */
static void print_notes(lua_State *L, const struct trainer_object *o)
{
    if (strcmp(o->args.eval_strategy, "no") && !o->eval)
        bind_note(L,
                  "note: eval_strategy = \"%s\" but no eval_dataset was given: no evaluation will "
                  "run",
                  o->args.eval_strategy);
    if (strstr(o->args.optim, "8bit") || strstr(o->args.optim, "paged"))
        bind_note(L, "note: optim = \"%s\": AdamW with 32-bit state in memory is used instead",
                  o->args.optim);
    if (o->train->cut)
        bind_note(L, "note: %d rows are longer than max_length = %d and lose their %s",
                  (int)o->train->cut, (int)o->args.max_length,
                  !strcmp(o->args.truncation_mode, "keep_end") ? "start" : "end");
    trainer_print_lint(L, &o->train_lint);
}

/* What is shown of it, and its callbacks, live in the user value. */
static void keep_values(lua_State *L, struct trainer_object *o)
{
    static const char *const names[] = {"model", "processing_class", "callbacks"};
    lua_createtable(L, 0, 6);
    for (int i = 0; i < 3; i++) {
        field(L, names[i]);
        lua_setfield(L, -2, names[i]);
    }
    field(L, "args");
    if (lua_isnil(L, -1)) { /* the defaults, which it stands on */
        lua_pop(L, 1);
        struct training_arguments *a = bind_new(L, &sft_config_class, sizeof *a);
        bind_check(L, options_copy(&sft_config, a, &o->args));
    }
    lua_setfield(L, -2, "args");
    lua_setiuservalue(L, 2, 1);
}

/* (options, object): everything that can fail after the object exists. */
static int build(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 2, &trainer_class);
    take_arguments(L, o);
    field(L, "processing_class");
    if (lua_isnil(L, -1))
        return bind_error(L, "SFTTrainer: processing_class is missing; hint: processing_class = "
                             "AutoTokenizer.from_pretrained(path)");
    struct tokenizer *t = lua_tokenizer_arg(L, lua_gettop(L));
    take_rows(L, o, t);
    take_model(L, o);
    bind_check(L, trainer_new(o->model, o->train, o->eval, &o->args, &o->trainer));
    print_notes(L, o);
    trainer_print_plan(L, o, t);
    trainer_set_output(o->trainer, t);
    keep_values(L, o);
    return trainer_take_callbacks(L);
}

static int construct(lua_State *L)
{
    char found[80];
    lua_settop(L, 1);
    if (!lua_istable(L, 1))
        return bind_error(L,
                          "SFTTrainer wants a table of options, found %s; hint: SFTTrainer{ model "
                          "= model, ... }",
                          bind_describe(L, 1, found, sizeof found));
    char nothing[1];
    bind_options(L, 1, &sft_trainer_options, nothing); /* names and notes */
    struct trainer_object *o = bind_new(L, &trainer_class, sizeof *o);
    lua_pushcfunction(L, build);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) { /* the model goes back to what it was */
        trainer_free(o->trainer);
        o->trainer = NULL;
        if (o->attached)
            lora_detach(o->model);
        return lua_error(L);
    }
    return 1;
}

static int gc(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    trainer_free(o->trainer);
    examples_free(o->train);
    examples_free(o->eval);
    lint_finish(&o->train_lint);
    lint_finish(&o->eval_lint);
    model_release(o->model);
    options_free(&training_arguments, &o->args);
    memset(o, 0, sizeof *o);
    return 0;
}

/* --- members ----------------------------------------------------------------------------------- */

static int get_stored(lua_State *L, const char *name)
{
    bind_arg(L, 1, &trainer_class);
    trainer_stored(L, 1, name);
    return 1;
}

static int get_args(lua_State *L)
{
    return get_stored(L, "args");
}

static int get_model(lua_State *L)
{
    return get_stored(L, "model");
}

static int get_tokenizer(lua_State *L)
{
    return get_stored(L, "processing_class");
}

static int show(lua_State *L)
{
    struct trainer_object *o = bind_arg(L, 1, &trainer_class);
    lua_pushfstring(L, "SFTTrainer · step %d of %d · %d examples", (int)trainer_step(o->trainer),
                    (int)trainer_total_steps(o->trainer), (int)o->train->count);
    return 1;
}

static const struct lua_method methods[] = {
    {"train", trainer_train, "trainer:train{ resume_from_checkpoint = true }",
     "Trains to the end; Ctrl-C pauses, and train() goes on where it stopped. With "
     "resume_from_checkpoint it goes on from a checkpoint: true is the newest of output_dir.",
     &train_options},
    {"evaluate", trainer_run_evaluate, "trainer:evaluate()",
     "Loss and token accuracy on eval_dataset, with the model as it is now.", NULL},
    {"save_model", trainer_save_model, "trainer:save_model(folder)",
     "Writes the adapter as PEFT reads it, or the whole model, with tokenizer and README. Default: "
     "output_dir.",
     NULL},
    {"save_state", trainer_save_state, "trainer:save_state()",
     "Writes trainer_state.json (the log, as transformers reads it) into output_dir.", NULL},
    {"plot", trainer_plot, "trainer:plot(file)",
     "Draws the losses in the terminal, or into an .svg file.", NULL},
    {"show_row", trainer_show_row, "trainer:show_row(n, {tokens = false})",
     "Prints row n (the first without one) as the model reads it, what is learned set off; with "
     "tokens a DataFrame of ids, "
     "texts and marks.",
     &show_row_options},
    {"lint", trainer_lint, "trainer:lint()",
     "What is odd about the rows, as a DataFrame: duplicates, rows that are empty, cut, without an "
     "end, and the like.",
     NULL},
    {"add_callback", trainer_add_callback, "trainer:add_callback(callback)",
     "Adds a table of functions (on_step_end, on_log, on_evaluate, on_save ...) that the loop "
     "calls "
     "with (args, state, control, values), or EarlyStoppingCallback{...}.",
     NULL},
    {"remove_callback", trainer_remove_callback, "trainer:remove_callback(callback)",
     "Takes a callback off again.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const struct lua_property properties[] = {
    {"state", trainer_get_state, NULL,
     "global_step, max_steps, epoch, log_history, best_metric, best_model_checkpoint."},
    {"args", get_args, NULL, "The arguments that were given."},
    {"model", get_model, NULL, "The model that is trained."},
    {"processing_class", get_tokenizer, NULL, "The tokenizer."},
    {NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {{"__gc", gc}, {"__tostring", show}, {NULL, NULL}};

const struct lua_class trainer_class = {
    .name = "SFTTrainer",
    .doc = "Supervised fine-tuning: a model, rows, and how to train.",
    .methods = methods,
    .properties = properties,
    .construct = construct,
    .signature = "SFTTrainer{ model = model, args = args, train_dataset = dataset, peft_config = "
                 "config, processing_class = tokenizer }",
    .options = &sft_trainer_options,
    .meta = meta,
};
