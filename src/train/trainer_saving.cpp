// What keeps a run's work: checkpoints, stopping and going on.

#include <stdexcept>

#include "base/error.h"
#include "train/trainer.h"

namespace pupil {

namespace {

constexpr int kMostMissedSaves = 3;  // in a row

}  // namespace

void Trainer::resume() {
  auto state = run_.load(learner_);
  if (!state) return;
  learner_.restore(
      std::move(state->params), std::move(state->arrays), state->optimizer_step);
  step_ = saved_step_ = tried_step_ = state->step;
  const auto& trainer = state->trainer;
  seconds_ = trainer.at("seconds").get<double>();
  evaluated_step_ = trainer.value("evaluated_step", step_);
  advice_.set_said(trainer.value("advice", std::set<std::string>()));
  best_ = best_evaluation_of(trainer.value("best", nlohmann::json()));
  best_saved_ = best_evaluation_of(trainer.value("best_saved", to_json(best_)));
  // Weights that move go on from where they were; others are the settings'.
  if (config_.train.kl_target > 0) beta_ = trainer.value("beta", beta_);
  if (entropy_.adaptive) {
    entropy_.coef = trainer.value("entropy_coef", entropy_.coef);
    auto last = trainer.value("last_entropy", nlohmann::json());
    if (last.is_number()) entropy_.last_entropy = last.get<double>();
  }
  memory_ = run_memory_of(trainer.at("memory"));
  auto scale = trainer.value("loss_scale", nlohmann::json());
  if (learner_.loss_scale() && !scale.is_null())
    learner_.set_loss_scale(loss_scale_of(scale, config_.train.loss_scale_window));
  publish_if_missed();
  run_.print("resumed at step " + std::to_string(step_));
}

// A disk without room for it is no reason to stop here: the next save publishes too.
void Trainer::publish_if_missed() {
  try {
    run_.publish_if_missed(learner_, step_);
  } catch (const std::exception& error) {
    saved_step_ = -1;  // so that the run's end saves, and tells
    run_.warn(std::string(error.what()) + "; adapters/ is behind until the next save");
  }
}

// What is finished is not lost with what failed. Within a round there is nothing to go
// on from: its samples are gone. What failed is told; that this failed too goes to
// log.txt.
void Trainer::keep() {
  if (tried_step_ == step_ || step_ != round_start_) return;
  try {
    save();
    run_.print("saved step " + std::to_string(step_));
  } catch (const std::exception& error) {
    run_.log(error.what());
  }
}

void Trainer::save_if_due() {
  int every = config_.train.save_steps;
  if (step_ / every != tried_step_ / every) try_to_save();
}

// A disk that is full may be emptied while the run goes on; one that stays full must
// not cost days of training that nobody can keep.
void Trainer::try_to_save() {
  try {
    save();
    missed_saves_ = 0;
  } catch (const std::exception& error) {
    if (++missed_saves_ == kMostMissedSaves) throw;
    int every = config_.train.save_steps, next = (step_ / every + 1) * every;
    run_.warn(
        std::string(error.what()) + "; training goes on, the next try is at step " +
        std::to_string(next));
  }
}

void Trainer::save() {
  tried_step_ = step_;
  auto best = best_.value && best_.step == step_ ? best_ : best_saved_;
  nlohmann::json state = {
      {"seconds", seconds_},
      {"evaluated_step", evaluated_step_},
      {"best", to_json(best_)},
      {"best_saved", to_json(best)},
      {"advice", advice_.said()},
      {"beta", beta_},
      {"entropy_coef", entropy_.coef},
      {"last_entropy", entropy_.last_entropy},  // infinity, before the first, is null
      {"memory", to_json(memory_)}};
  if (learner_.loss_scale()) state["loss_scale"] = to_json(*learner_.loss_scale());
  run_.write("tasks.json", task_records_text(memory_.draws.records));
  KeptCheckpoints kept{config_.train.save_total_limit, {}};
  if (best.value) kept.best_step = best.step;
  run_.save(learner_, step_, state, kept);
  saved_step_ = step_;
  best_saved_ = best;
}

bool Trainer::is_asked_to_stop() const {
  return hooks_.stop_requested && hooks_.stop_requested();
}

void Trainer::stop_if_asked() {
  if (!is_asked_to_stop()) return;
  if (step_ >= config_.train.max_steps || stops_early()) return;  // done anyway
  if (saved_step_ != step_) save();
  throw Stopped(
      "[train] stopped at step " + std::to_string(step_) + ", all saved; go on with " +
      "--resume " + run_.path().string());
}

}  // namespace pupil
