/* arguments.c -- the option tables of TrainingArguments and SFTConfig.
 *
 * One list of rows, made twice: SFTConfig has its own learning rate and logging interval.
 * Arguments that mean nothing here are NOTE rows, which say what happens instead. */
#include "engine/train/arguments.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROW(field, kind, preset, ...) \
    OPTION(struct training_arguments, field, kind, preset, __VA_ARGS__)
#define NOTE(name_, doc_, note_)                                       \
    {                                                                  \
        .name = name_, .type = OPTION_NOTE, .doc = doc_, .note = note_ \
    }

#define REFUSED(name_, doc_, note_)                                       \
    {                                                                     \
        .name = name_, .type = OPTION_REFUSED, .doc = doc_, .note = note_ \
    }

#define OUTPUT_ROWS                                                                            \
    ROW(output_dir, TEXT, "trainer_output", .doc = "folder of the run's results"),             \
        ROW(overwrite_output_dir, BOOL, "false",                                               \
            .doc = "checkpoints of an earlier run may be replaced without a word"),            \
        ROW(logging_strategy, TEXT, "steps", .choices = "no,steps,epoch",                      \
            .doc = "when the loss is written to the log"),                                     \
        ROW(logging_first_step, BOOL, "false", .doc = "log step 1 as well"),                   \
        ROW(logging_dir, TEXT, NULL, .doc = "TensorBoard folder; default: output_dir/runs"),   \
        ROW(report_to, LIST, "none", .choices = "none,all,tensorboard,jsonl",                  \
            .doc = "log files: tensorboard, jsonl (output_dir/log.jsonl, always there when "   \
                   "checkpoints are), all"),                                                   \
        ROW(run_name, TEXT, NULL, .doc = "folder of this run under logging_dir"),              \
        ROW(eval_strategy, TEXT, "no", .aliases = "evaluation_strategy",                       \
            .choices = "no,steps,epoch", .doc = "when to evaluate on eval_dataset"),           \
        ROW(eval_steps, FLOAT, "0", .min = 0, .max = 1e9,                                      \
            .doc = "evaluate every so many steps; below 1: share of all; 0: logging_steps"),   \
        ROW(eval_delay, FLOAT, "0", .min = 0, .max = 1e9,                                      \
            .doc = "no evaluation before so many steps (or epochs, as eval_strategy counts)"), \
        ROW(eval_on_start, BOOL, "false", .doc = "evaluate before the first step")

#define SAVE_ROWS                                                                                  \
    ROW(save_strategy, TEXT, "steps", .choices = "no,steps,epoch,best",                            \
        .doc = "when a checkpoint is written; best: after an evaluation better than all before"),  \
        ROW(save_steps, FLOAT, "500", .min = 0, .max = 1e9,                                        \
            .doc = "steps between checkpoints; below 1: share of all steps"),                      \
        ROW(save_total_limit, INT, "0", .min = 0, .max = 1e6,                                      \
            .doc = "checkpoints to keep, the best one always; 0 = all"),                           \
        ROW(save_only_model, BOOL, "false",                                                        \
            .doc = "checkpoints without optimiser state: small, but training cannot resume"),      \
        ROW(resume_from_checkpoint, TEXT, NULL, .boolean = true,                                   \
            .doc = "go on from this checkpoint folder; true = the newest of output_dir, \"auto\" " \
                   "= if any"),                                                                    \
        ROW(load_best_model_at_end, BOOL, "false",                                                 \
            .doc = "end with the weights of the best checkpoint"),                                 \
        ROW(metric_for_best_model, TEXT, NULL,                                                     \
            .doc = "what makes a model the best: loss (default) or mean_token_accuracy"),          \
        ROW(greater_is_better, TEXT, NULL, .boolean = true, .choices = "true,false",               \
            .doc = "default: true unless the metric's name ends in loss")

#define BATCH_ROWS                                                                                \
    ROW(per_device_train_batch_size, INT, "8", .aliases = "per_gpu_train_batch_size", .min = 1,   \
        .max = 1e6, .doc = "examples of one micro-batch"),                                        \
        ROW(per_device_eval_batch_size, INT, "8", .aliases = "per_gpu_eval_batch_size", .min = 1, \
            .max = 1e6, .doc = "examples of one micro-batch in evaluation"),                      \
        ROW(gradient_accumulation_steps, INT, "1", .min = 1, .max = 1e6,                          \
            .doc = "micro-batches of one optimiser step"),                                        \
        ROW(num_train_epochs, FLOAT, "3.0", .min = 0, .max = 1e6,                                 \
            .doc = "passes over the data; max_steps wins"),                                       \
        ROW(max_steps, INT, "-1", .min = -1, .max = 1e12,                                         \
            .doc = "optimiser steps; -1 = as num_train_epochs says"),                             \
        ROW(micro_batch_tokens, INT, "512", .min = 1, .max = 1e7,                                 \
            .doc = "tokens that are computed at a time: memory against speed, same gradient"),    \
        ROW(train_sampling_strategy, TEXT, "random", .choices = "random,sequential",              \
            .doc = "order of the rows"),                                                          \
        ROW(seed, INT, "42", .min = 0, .max = 9e15, .doc = "of shuffling, dropout and adapters"), \
        ROW(data_seed, INT, "-1", .min = -1, .max = 9e15, .doc = "of shuffling; -1 = seed")

#define OPTIMISER_ROWS                                                                          \
    ROW(optim, TEXT, "adamw_torch", .doc = "optimiser"),                                        \
        ROW(lr_scheduler_type, TEXT, "linear", .doc = "how the learning rate falls"),           \
        ROW(warmup_steps, FLOAT, "0", .min = 0, .max = 1e9,                                     \
            .doc = "steps in which the rate rises from 0; below 1: share of all steps"),        \
        ROW(warmup_ratio, FLOAT, "0", .min = 0, .max = 1,                                       \
            .doc = "older form of warmup_steps: share of all steps"),                           \
        ROW(weight_decay, FLOAT, "0.0", .min = 0, .max = 10,                                    \
            .doc = "shrinks weights (not biases and norms) by lr * this a step"),               \
        ROW(adam_beta1, FLOAT, "0.9", .min = 0, .max = 0.99999, .doc = "Adam's first average"), \
        ROW(adam_beta2, FLOAT, "0.999", .min = 0, .max = 0.9999999,                             \
            .doc = "Adam's second average"),                                                    \
        ROW(adam_epsilon, FLOAT, "1e-8", .min = 1e-30, .max = 1, .doc = "Adam's epsilon"),      \
        ROW(max_grad_norm, FLOAT, "1.0", .min = 0, .max = 1e9,                                  \
            .doc = "gradients above this norm are scaled down; 0 = never"),                     \
        ROW(label_smoothing_factor, FLOAT, "0.0", .min = 0, .max = 0.999,                       \
            .doc = "share of the target spread over the vocabulary")

#define TEXT_ROWS                                                                                 \
    ROW(dataset_text_field, TEXT, "text", .doc = "column that holds the text"),                   \
        ROW(max_length, INT, "1024", .aliases = "max_seq_length,max_sequence", .min = 2,          \
            .max = 1e7, .doc = "rows are cut to this many tokens"),                               \
        ROW(completion_only_loss, BOOL, "true",                                                   \
            .doc = "rows with prompt and completion: learn the completion only"),                 \
        ROW(assistant_only_loss, BOOL, "false",                                                   \
            .doc = "rows of messages: learn what the assistant says only"),                       \
        ROW(truncation_mode, TEXT, "keep_start", .choices = "keep_start,keep_end",                \
            .doc = "what a row that is too long keeps"),                                          \
        ROW(eos_token, TEXT, NULL, .doc = "token that ends a text; default the tokenizer's own"), \
        ROW(chat_template_path, TEXT, NULL,                                                       \
            .doc = "file or model folder whose chat template is used"),                           \
        ROW(append_eos, BOOL, "true",                                                             \
            .doc = "end each row with the end-of-text token, so that the model learns to stop")

#define NOTE_ROWS                                                                                \
    NOTE("save_safetensors", "format of checkpoints", NULL),                                     \
        NOTE("save_on_each_node", "several machines", NULL),                                     \
        NOTE("logging_nan_inf_filter", "replace NaN in the log",                                 \
             "logging_nan_inf_filter: a number in the log is never replaced"),                   \
        NOTE("ignore_data_skip", "data position on resuming",                                    \
             "ignore_data_skip: a resumed run always goes on at its place in the data"),         \
        NOTE("include_num_input_tokens_seen", "count tokens", NULL),                             \
        NOTE("gradient_checkpointing", "recompute activations",                                  \
             "gradient_checkpointing: norms and activations are always recomputed; "             \
             "micro_batch_tokens sets the memory"),                                              \
        NOTE("gradient_checkpointing_kwargs", "how to recompute", NULL),                         \
        NOTE("packing", "fill rows with several examples",                                       \
             "packing: rows are always packed, without one seeing the other"),                   \
        NOTE("padding_free", "no padding", "padding_free: nothing is ever padded"),              \
        NOTE("group_by_length", "batch rows of like length",                                     \
             "group_by_length is not needed: nothing is ever padded"),                           \
        NOTE("bf16", "16-bit compute", "bf16: this device computes in float32"),                 \
        NOTE("fp16", "16-bit compute", "fp16: this device computes in float32"),                 \
        NOTE("tf32", "reduced products", "tf32: this device computes in float32"),               \
        NOTE("use_cpu", "no accelerator", "use_cpu: choose the device with --device"),           \
        NOTE("no_cuda", "no accelerator", "no_cuda: choose the device with --device"),           \
        NOTE("disable_tqdm", "no progress bar", "disable_tqdm: use --progress none"),            \
        NOTE("remove_unused_columns", "drop columns", NULL),                                     \
        NOTE("dataloader_num_workers", "loader processes", NULL),                                \
        NOTE("dataloader_pin_memory", "pinned memory", NULL),                                    \
        NOTE("dataset_num_proc", "processes for the data", NULL),                                \
        NOTE("torch_compile", "compile the model", "torch_compile: kernels are native already"), \
        NOTE("use_liger_kernel", "fused kernels", NULL),                                         \
        NOTE("ddp_find_unused_parameters", "several devices", NULL),                             \
        NOTE("shuffle_dataset", "shuffle first", "shuffle_dataset: rows are shuffled every epoch")

/* The rest of what transformers and TRL take: accepted where nothing follows from it, refused where
 * a run would be another one. */
#define OTHER_ROWS                                                                                 \
    NOTE("do_train", "flag of scripts", NULL), NOTE("do_eval", "flag of scripts", NULL),           \
        NOTE("do_predict", "flag of scripts", NULL),                                               \
        NOTE("average_tokens_across_devices", "mean over targets", NULL),                          \
        NOTE("fp16_opt_level", "mixed precision", NULL),                                           \
        NOTE("half_precision_backend", "mixed precision", NULL),                                   \
        NOTE("fp16_backend", "mixed precision", NULL),                                             \
        NOTE("torch_compile_backend", "compile the model", NULL),                                  \
        NOTE("torch_compile_mode", "compile the model", NULL),                                     \
        NOTE("liger_kernel_config", "fused kernels", NULL),                                        \
        NOTE("use_cache", "cache in training", NULL),                                              \
        NOTE("torch_empty_cache_steps", "empty the cache", NULL),                                  \
        NOTE("log_level", "verbosity", NULL), NOTE("log_level_replica", "verbosity", NULL),        \
        NOTE("log_on_each_node", "several machines", NULL),                                        \
        NOTE("project", "name for trackers", NULL),                                                \
        NOTE("trackio_space_id", "name for trackers", NULL),                                       \
        NOTE("eval_accumulation_steps", "memory of evaluation", NULL),                             \
        NOTE("prediction_loss_only", "what evaluation returns", NULL),                             \
        NOTE("eval_do_concat_batches", "what evaluation returns", NULL),                           \
        NOTE("eval_use_gather_object", "several devices", NULL),                                   \
        NOTE("enable_jit_checkpoint", "save when the machine is taken away", NULL),                \
        NOTE("restore_callback_states_from_checkpoint", "counters of callbacks", NULL),            \
        NOTE("full_determinism", "repeatable runs", NULL),                                         \
        NOTE("dataloader_persistent_workers", "loader processes", NULL),                           \
        NOTE("dataloader_prefetch_factor", "loader processes", NULL),                              \
        NOTE("label_names", "names of the targets", NULL),                                         \
        NOTE("length_column_name", "lengths of rows", NULL),                                       \
        NOTE("ddp_backend", "several devices", NULL),                                              \
        NOTE("ddp_timeout", "several devices", NULL),                                              \
        NOTE("ddp_bucket_cap_mb", "several devices", NULL),                                        \
        NOTE("ddp_broadcast_buffers", "several devices", NULL),                                    \
        NOTE("local_rank", "several devices", NULL), NOTE("xpu_backend", "several devices", NULL), \
        NOTE("fsdp_config", "several devices", NULL),                                              \
        NOTE("fsdp_min_num_params", "several devices", NULL),                                      \
        NOTE("fsdp_transformer_layer_cls_to_wrap", "several devices", NULL),                       \
        NOTE("accelerator_config", "several devices", NULL), NOTE("debug", "debugging", NULL),     \
        NOTE("skip_memory_metrics", "debugging", NULL),                                            \
        NOTE("jit_mode_eval", "compile the model", NULL), NOTE("use_ipex", "fused kernels", NULL), \
        NOTE("past_index", "old models", NULL), NOTE("sharded_ddp", "several devices", NULL),      \
        NOTE("tpu_num_cores", "several devices", NULL),                                            \
        NOTE("tpu_metrics_debug", "debugging", NULL),                                              \
        NOTE("use_legacy_prediction_loop", "old models", NULL),                                    \
        NOTE("mp_parameters", "several devices", NULL),                                            \
        NOTE("ray_scope", "search of settings", NULL),                                             \
        NOTE("packing_strategy", "fill rows with several examples", NULL),                         \
        NOTE("eval_packing", "fill rows with several examples", NULL),                             \
        NOTE("pad_to_multiple_of", "padding of rows", NULL),                                       \
        NOTE("pad_token", "padding of rows", NULL),                                                \
        NOTE("dataset_kwargs", "preparing rows", NULL),                                            \
        NOTE("dataset_batch_size", "rows tokenised at a time", NULL),                              \
        NOTE("num_of_sequences", "filling of rows", NULL),                                         \
        NOTE("chars_per_token", "filling of rows", NULL),                                          \
        NOTE("model_init_kwargs", "loading the model", NULL),                                      \
        NOTE("router_aux_loss_coef", "mixtures of experts", NULL),                                 \
        NOTE("activation_offloading", "memory of activations", NULL),                              \
        NOTE("use_mps_device", "no accelerator", NULL),                                            \
        NOTE("push_to_hub_model_id", "upload to the hub", NULL),                                   \
        NOTE("push_to_hub_organization", "upload to the hub", NULL),                               \
        NOTE("push_to_hub_token", "upload to the hub", NULL),                                      \
        NOTE("hub_model_id", "upload to the hub", NULL),                                           \
        NOTE("hub_strategy", "upload to the hub", NULL),                                           \
        NOTE("hub_token", "upload to the hub", NULL),                                              \
        NOTE("hub_private_repo", "upload to the hub", NULL),                                       \
        NOTE("hub_always_push", "upload to the hub", NULL),                                        \
        NOTE("hub_revision", "upload to the hub", NULL),                                           \
        NOTE("bf16_full_eval", "16-bit evaluation",                                                \
             "bf16_full_eval: evaluation computes as training does"),                              \
        NOTE("fp16_full_eval", "16-bit evaluation",                                                \
             "fp16_full_eval: evaluation computes as training does"),                              \
        NOTE("auto_find_batch_size", "smaller batches when memory is short",                       \
             "auto_find_batch_size: memory is planned before the first step; micro_batch_tokens "  \
             "sets it"),                                                                           \
        NOTE("loss_type", "kind of loss",                                                          \
             "loss_type: the loss is the mean over all targets (nll)"),                            \
        NOTE("trust_remote_code", "run code of the model",                                         \
             "trust_remote_code is not needed here: no code of a model repository is ever run"),   \
        REFUSED("lr_scheduler_kwargs", "settings of the schedule",                                 \
                "the schedules have no settings besides warmup_steps"),                            \
        REFUSED("optim_args", "settings of the optimiser",                                         \
                "give adam_beta1, adam_beta2, adam_epsilon, weight_decay"),                        \
        REFUSED("optim_target_modules", "layers of the optimiser",                                 \
                "choose layers with LoraConfig{ target_modules = ... }"),                          \
        REFUSED("adafactor", "another optimiser", "leave it out: AdamW is used"),                  \
        REFUSED("neftune_noise_alpha", "noise on embeddings", "leave it out"),                     \
        REFUSED("push_to_hub", "upload to the hub",                                                \
                "trainer:save_model(folder), then upload the folder"),                             \
        REFUSED("deepspeed", "several devices", "one device is used; leave it out"),               \
        REFUSED("fsdp", "several devices", "one device is used; leave it out"),                    \
        REFUSED("parallelism_config", "several devices", "one device is used; leave it out"),      \
        REFUSED("dataloader_drop_last", "leave out the last, smaller step",                        \
                "every row is trained"),                                                           \
        REFUSED("batch_eval_metrics", "metrics of your own",                                       \
                "evaluation gives loss and token accuracy"),                                       \
        REFUSED("include_for_metrics", "metrics of your own",                                      \
                "evaluation gives loss and token accuracy"),                                       \
        REFUSED("include_inputs_for_metrics", "metrics of your own",                               \
                "evaluation gives loss and token accuracy")

/* clang-format off */
static const struct option plain_rows[] = {
    OUTPUT_ROWS,
    ROW(logging_steps, FLOAT, "500", .min = 0, .max = 1e9,
        .doc = "steps between log entries; below 1: share of all steps"),
    BATCH_ROWS,
    ROW(learning_rate, FLOAT, "5e-5", .aliases = "lr", .min = 0, .max = 100,
        .doc = "peak learning rate"),
    OPTIMISER_ROWS, SAVE_ROWS, TEXT_ROWS, NOTE_ROWS, OTHER_ROWS,
};

static const struct option sft_rows[] = {
    OUTPUT_ROWS,
    ROW(logging_steps, FLOAT, "10", .min = 0, .max = 1e9,
        .doc = "steps between log entries; below 1: share of all steps"),
    BATCH_ROWS,
    ROW(learning_rate, FLOAT, "2e-5", .aliases = "lr", .min = 0, .max = 100,
        .doc = "peak learning rate"),
    OPTIMISER_ROWS, SAVE_ROWS, TEXT_ROWS, NOTE_ROWS, OTHER_ROWS,
};
/* clang-format on */

const struct option_table training_arguments = {
    .name = "TrainingArguments",
    .doc = "How to train: amounts, optimiser, logging. Names and defaults as in transformers.",
    .rows = plain_rows,
    .count = (int)(sizeof plain_rows / sizeof *plain_rows),
    .struct_bytes = sizeof(struct training_arguments),
};

const struct option_table sft_config = {
    .name = "SFTConfig",
    .doc = "TrainingArguments with the defaults of TRL's SFTConfig.",
    .rows = sft_rows,
    .count = (int)(sizeof sft_rows / sizeof *sft_rows),
    .struct_bytes = sizeof(struct training_arguments),
};

/* --- what follows from several of them --------------------------------------------------------- */

const char *arguments_metric(const struct training_arguments *a, char out[64])
{
    bool wanted = a->load_best_model_at_end || !strcmp(a->save_strategy, "best");
    const char *name = a->metric_for_best_model ? a->metric_for_best_model : wanted ? "loss" : NULL;
    if (!name)
        return NULL;
    snprintf(out, 64, "%s%.50s", strncmp(name, "eval_", 5) ? "eval_" : "", name);
    return out;
}

bool arguments_greater_is_better(const struct training_arguments *a)
{
    if (a->greater_is_better)
        return !strcmp(a->greater_is_better, "true");
    const char *name = a->metric_for_best_model ? a->metric_for_best_model : "loss";
    size_t n = strlen(name);
    return n < 4 || strcmp(name + n - 4, "loss") != 0;
}

const char *arguments_resume(const struct training_arguments *a)
{
    const char *r = a->resume_from_checkpoint;
    return r && *r && strcmp(r, "false") ? r : NULL;
}

int arguments_check(const struct training_arguments *a)
{
    char name[64];
    const char *metric = arguments_metric(a, name);
    if (metric && strcmp(metric, "eval_loss") && strcmp(metric, "eval_mean_token_accuracy"))
        return fail(ERR_ARG,
                    "metric_for_best_model = '%.50s' is not measured; hint: loss or "
                    "mean_token_accuracy",
                    a->metric_for_best_model);
    if (!strcmp(a->save_strategy, "best") && !strcmp(a->eval_strategy, "no"))
        return fail(ERR_ARG, "save_strategy = \"best\" needs evaluations; hint: eval_strategy = "
                             "\"steps\" and an eval_dataset");
    if (!a->load_best_model_at_end || !strcmp(a->save_strategy, "best"))
        return OK;
    if (strcmp(a->save_strategy, a->eval_strategy) || !strcmp(a->eval_strategy, "no"))
        return fail(ERR_ARG,
                    "load_best_model_at_end needs save_strategy and eval_strategy to be the same, "
                    "found \"%s\" and \"%s\"; hint: save_strategy = \"best\" goes with any",
                    a->save_strategy, a->eval_strategy);
    double every = a->eval_steps > 0 ? a->eval_steps : a->logging_steps;
    double times = a->save_steps / every;
    bool shares = (a->save_steps < 1) != (every < 1);
    if (!strcmp(a->save_strategy, "steps") && every > 0 &&
        (shares || fabs(times - round(times)) > 1e-6 || times < 0.5))
        return fail(ERR_ARG,
                    "load_best_model_at_end needs save_steps to be a multiple of eval_steps, found "
                    "%g and %g; hint: save_strategy = \"best\"",
                    a->save_steps, every);
    return OK;
}
