/* arguments.c -- the option tables of TrainingArguments and SFTConfig.
 *
 * One list of rows, made twice: SFTConfig has its own learning rate and logging interval.
 * Arguments that mean nothing here are NOTE rows, which say what happens instead. */
#include "engine/train/arguments.h"

#define ROW(field, kind, preset, ...) \
    OPTION(struct training_arguments, field, kind, preset, __VA_ARGS__)
#define NOTE(name_, doc_, note_)                                       \
    {                                                                  \
        .name = name_, .type = OPTION_NOTE, .doc = doc_, .note = note_ \
    }

#define OUTPUT_ROWS                                                                          \
    ROW(output_dir, TEXT, "trainer_output", .doc = "folder of the run's results"),           \
        ROW(logging_strategy, TEXT, "steps", .choices = "no,steps,epoch",                    \
            .doc = "when the loss is written to the log"),                                   \
        ROW(logging_first_step, BOOL, "false", .doc = "log step 1 as well"),                 \
        ROW(eval_strategy, TEXT, "no", .aliases = "evaluation_strategy",                     \
            .choices = "no,steps,epoch", .doc = "when to evaluate on eval_dataset"),         \
        ROW(eval_steps, FLOAT, "0", .min = 0, .max = 1e9,                                    \
            .doc = "evaluate every so many steps; below 1: share of all; 0: logging_steps"), \
        ROW(eval_on_start, BOOL, "false", .doc = "evaluate before the first step")

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

#define TEXT_ROWS                                                                        \
    ROW(dataset_text_field, TEXT, "text", .doc = "column that holds the text"),          \
        ROW(max_length, INT, "1024", .aliases = "max_seq_length,max_sequence", .min = 2, \
            .max = 1e7, .doc = "rows are cut to this many tokens"),                      \
        ROW(completion_only_loss, BOOL, "true",                                          \
            .doc = "rows with prompt and completion: learn the completion only"),        \
        ROW(append_eos, BOOL, "true",                                                    \
            .doc = "end each row with the end-of-text token, so that the model learns to stop")

#define NOTE_ROWS                                                                                 \
    NOTE("save_strategy", "when to write checkpoints", "checkpoints are not written yet"),        \
        NOTE("save_steps", "steps between checkpoints", "checkpoints are not written yet"),       \
        NOTE("save_total_limit", "checkpoints to keep", "checkpoints are not written yet"),       \
        NOTE("save_safetensors", "format of checkpoints", "checkpoints are not written yet"),     \
        NOTE("overwrite_output_dir", "allow a used folder", "nothing is written to output_dir"),  \
        NOTE("gradient_checkpointing", "recompute activations",                                   \
             "gradient_checkpointing: norms and activations are always recomputed; "              \
             "micro_batch_tokens sets the memory"),                                               \
        NOTE("gradient_checkpointing_kwargs", "how to recompute", NULL),                          \
        NOTE("packing", "fill rows with several examples",                                        \
             "packing: rows are always packed, without one seeing the other"),                    \
        NOTE("padding_free", "no padding", "padding_free: nothing is ever padded"),               \
        NOTE("group_by_length", "batch rows of like length",                                      \
             "group_by_length is not needed: nothing is ever padded"),                            \
        NOTE("bf16", "16-bit compute", "bf16: this device computes in float32"),                  \
        NOTE("fp16", "16-bit compute", "fp16: this device computes in float32"),                  \
        NOTE("tf32", "reduced products", "tf32: this device computes in float32"),                \
        NOTE("use_cpu", "no accelerator", "use_cpu: choose the device with --device"),            \
        NOTE("no_cuda", "no accelerator", "no_cuda: choose the device with --device"),            \
        NOTE("report_to", "trackers", "report_to: no tracker is called; see trainer.state"),      \
        NOTE("run_name", "name for trackers", NULL),                                              \
        NOTE("logging_dir", "TensorBoard folder", "logging_dir: no TensorBoard file is written"), \
        NOTE("disable_tqdm", "no progress bar", "disable_tqdm: use --progress none"),             \
        NOTE("remove_unused_columns", "drop columns", NULL),                                      \
        NOTE("dataloader_num_workers", "loader processes", NULL),                                 \
        NOTE("dataloader_pin_memory", "pinned memory", NULL),                                     \
        NOTE("dataset_num_proc", "processes for the data", NULL),                                 \
        NOTE("torch_compile", "compile the model", "torch_compile: kernels are native already"),  \
        NOTE("use_liger_kernel", "fused kernels", NULL),                                          \
        NOTE("ddp_find_unused_parameters", "several devices", NULL),                              \
        NOTE("shuffle_dataset", "shuffle first", "shuffle_dataset: rows are shuffled every epoch")

/* clang-format off */
static const struct option plain_rows[] = {
    OUTPUT_ROWS,
    ROW(logging_steps, FLOAT, "500", .min = 0, .max = 1e9,
        .doc = "steps between log entries; below 1: share of all steps"),
    BATCH_ROWS,
    ROW(learning_rate, FLOAT, "5e-5", .aliases = "lr", .min = 0, .max = 100,
        .doc = "peak learning rate"),
    OPTIMISER_ROWS, TEXT_ROWS, NOTE_ROWS,
};

static const struct option sft_rows[] = {
    OUTPUT_ROWS,
    ROW(logging_steps, FLOAT, "10", .min = 0, .max = 1e9,
        .doc = "steps between log entries; below 1: share of all steps"),
    BATCH_ROWS,
    ROW(learning_rate, FLOAT, "2e-5", .aliases = "lr", .min = 0, .max = 100,
        .doc = "peak learning rate"),
    OPTIMISER_ROWS, TEXT_ROWS, NOTE_ROWS,
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
