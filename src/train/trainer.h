// The training loop.

#pragma once

#include <functional>

#include "algo/entropy.h"
#include "train/advice.h"
#include "train/best_evaluation.h"
#include "train/learner.h"
#include "train/run_dir.h"
#include "train/run_memory.h"
#include "train/stages.h"
#include "train/step_metrics.h"

namespace pupil {

struct TrainerConfig {
  TrainConfig train;  // resolved: every loss setting is there
  LoggingConfig logging;
  BatchConfig batch;
  int num_generations = 8;
  int dynamic_sampling = 0;  // refills of a round, at most
  Aggregation aggregation = Aggregation::sum_then_normalize;
};

/// Called with each step's row of metrics.jsonl, evaluations' not included.
using MetricsFn = std::function<void(const nlohmann::ordered_json& row)>;

/// What the app hangs on the loop; each may be empty.
struct TrainerHooks {
  // Every `eval_steps` steps, between rounds: the evaluation's row of metrics.jsonl, or
  // null where there is nothing to evaluate on.
  std::function<nlohmann::ordered_json(int step)> evaluate;
  MetricsFn on_metrics;
  std::function<bool()> stop_requested;   // asked all the time, but in updates
  std::function<uint64_t()> peak_memory;  // of the process so far, in bytes
};

/// Trains until `max_steps` optimizer steps are done. A round of samples serves
/// `steps_per_generation` times `num_iterations` of them, and checkpoints are written
/// between rounds only. Ends before, where `early_stopping_patience` evaluations in a
/// row were no better. One thread. Everything it is given must outlive it.
class Trainer {
 public:
  Trainer(
      Learner& learner,
      const Stages& stages,
      RunDir& run,
      const TrainerConfig& config,
      TrainerHooks hooks = {});

  /// Goes on from the run directory's newest checkpoint, if there is one.
  void resume();

  /// Runs the loop; saves at its end, and what is finished when something fails. Throws
  /// what the stages throw; Stopped, with everything saved, when `stop_requested` says
  /// so; std::runtime_error if a checkpoint cannot be written three times in a row or
  /// at the end, or if a loss or gradient is not finite or sampler and trainer disagree
  /// by more than `max_logp_difference`: then the weights are those of the step before.
  void run();

  int step() const { return step_; }
  double seconds() const { return seconds_; }
  /// The best evaluation that has a checkpoint.
  const BestEvaluation& best() const { return best_saved_; }

 private:
  void train();
  void keep();
  void train_round();
  std::vector<StepRecord> sample_or_stop(RunMemory& memory);
  void end_round(const RunMemory& memory);
  std::vector<StepRecord> sample(RunMemory& memory);
  void set_advantages(Round& round, StepRecord& record, RunningBaseline& running);
  void adapt(StepRecord& record);
  void update(StepRecord& record, std::vector<Microbatch>& batches, bool first);
  void forward_backward(
      StepRecord& record, std::vector<Microbatch>& batches, bool first);
  void step_optimizer(StepRecord& record);
  void check_agreement(const PolicyMetrics& metrics);
  void report(StepRecord& record, bool first);
  void add_to_tensorboard(const StepRecord& record);
  void evaluate_if_due();
  bool stops_early() const;
  void save_if_due();
  void try_to_save();
  void save();
  void publish_if_missed();
  bool is_asked_to_stop() const;
  void stop_if_asked();
  [[noreturn]] void fail(const std::string& what);

  Learner& learner_;
  const Stages& stages_;
  RunDir& run_;
  TrainerConfig config_;
  TrainerHooks hooks_;
  double beta_;  // moves where train.kl_target is set
  EntropyControl entropy_;
  std::optional<double> planned_entropy_;  // of the tokens that the bonus acts on
  RunMemory memory_;                       // as of the rounds that are done
  int round_start_ = 0;                    // step before the round at work
  int step_ = 0;                           // optimizer steps done
  int saved_step_ = 0;                     // the newest checkpoint's
  int tried_step_ = 0;                     // of the newest try to save
  int missed_saves_ = 0;
  int evaluated_step_ = 0;
  BestEvaluation best_;
  BestEvaluation best_saved_;  // of those whose checkpoint could be written
  Advice advice_;
  double seconds_ = 0;  // of all steps, those before a resume included
  int steps_here_ = 0;  // since this process began
  double seconds_here_ = 0;
};

}  // namespace pupil
