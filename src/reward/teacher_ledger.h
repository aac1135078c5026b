// What a run has spent on its teacher, and the cap on it. The ledger is a small SQLite
// file beside the run, so that a resumed run goes on counting.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "reward/chat_api.h"

namespace pupil {

/// USD for a million tokens.
struct TeacherPrices {
  double in = 0, out = 0;
};

double cost_usd(const TeacherPrices& prices, const ChatUsage& usage);

/// Sums over requests.
struct Spending {
  int64_t requests = 0;  // that were answered with a usage, or may have been charged
  ChatUsage usage;
  double usd = 0;  // at the prices of the time
};

/// An open ledger. One thread at a time.
class SpendingLedger {
 public:
  /// Opens or creates the file; an empty path keeps it in memory. Throws
  /// std::runtime_error if it cannot, or if the file is something else.
  explicit SpendingLedger(const std::string& path);
  ~SpendingLedger();

  Spending total() const;
  /// Written at once: a process that is killed has counted all its replies. Throws
  /// std::runtime_error if it cannot be written.
  void add(const Spending& spending);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether a request may leave without the sum ever passing the cap: what may still be
/// charged for requests under way counts at its worst. Pure arithmetic.
class CostCap {
 public:
  enum class Verdict { send, wait, stop };

  /// `cap_usd` 0: no cap.
  CostCap(double cap_usd, const TeacherPrices& prices)
      : cap_usd_(cap_usd), prices_(prices) {}

  void start_at(double spent_usd) { spent_usd_ = spent_usd; }
  Verdict verdict(const ChatUsage& worst) const;
  void on_sent(const ChatUsage& worst);
  /// Settles what on_sent reserved. Returns the cost in USD.
  double on_settled(const ChatUsage& worst, const ChatUsage& real);
  double spent_usd() const { return spent_usd_; }

 private:
  double cap_usd_;
  TeacherPrices prices_;
  double spent_usd_ = 0;
  double reserved_usd_ = 0;
  int in_flight_ = 0;
};

/// An upper bound of a request's input tokens. Byte-level vocabularies have no token
/// shorter than a byte; what the server has counted so far tightens that bound.
class TokenBound {
 public:
  ChatUsage worst(const ChatRequest& request) const;
  void learn(const ChatRequest& request, int64_t input_tokens);

 private:
  double most_per_byte_ = 0;
  int num_seen_ = 0;
};

}  // namespace pupil
