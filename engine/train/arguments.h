/* arguments.h -- what a training run is told: the names of transformers' TrainingArguments and
 * TRL's SFTConfig, with their defaults. */
#ifndef ENGINE_TRAIN_ARGUMENTS_H
#define ENGINE_TRAIN_ARGUMENTS_H

#include "engine/core/options.h"

struct training_arguments {
    char *output_dir;
    /* how much */
    int64_t per_device_train_batch_size, per_device_eval_batch_size, gradient_accumulation_steps;
    double num_train_epochs;
    int64_t max_steps;
    int64_t micro_batch_tokens;
    /* optimiser */
    char *optim, *lr_scheduler_type;
    double learning_rate, warmup_steps, warmup_ratio, weight_decay;
    double adam_beta1, adam_beta2, adam_epsilon, max_grad_norm, label_smoothing_factor;
    /* looking at it */
    char *logging_strategy, *eval_strategy;
    double logging_steps, eval_steps;
    double eval_delay;
    bool logging_first_step, eval_on_start;
    char *logging_dir, *run_name;
    struct text_list report_to;
    /* keeping it */
    char *save_strategy, *resume_from_checkpoint;
    double save_steps;
    int64_t save_total_limit;
    bool save_only_model, load_best_model_at_end, overwrite_output_dir;
    char *metric_for_best_model, *greater_is_better; /* "true", "false" or not given */
    /* randomness, order */
    int64_t seed, data_seed;
    char *train_sampling_strategy;
    /* text */
    char *dataset_text_field;
    int64_t max_length;
    bool completion_only_loss, assistant_only_loss, append_eos;
    char *truncation_mode, *eos_token, *chat_template_path;
};

/* The same struct under two names: the defaults of the two classes differ in a few places. */
extern const struct option_table training_arguments, sft_config;

/* "eval_loss" for metric_for_best_model = "loss" (which is the default where a best model is asked
 * for); NULL = no best model is kept track of. */
const char *arguments_metric(const struct training_arguments *a, char out[64]);
bool arguments_greater_is_better(const struct training_arguments *a);

/* Arguments that contradict one another: ERR_ARG. */
int arguments_check(const struct training_arguments *a) MUST_CHECK;

/* resume_from_checkpoint as given: NULL = not, "true" = the newest, else a path. */
const char *arguments_resume(const struct training_arguments *a);

#endif
