#include "reward/teacher_ledger.h"

#include <algorithm>
#include <cmath>

#include "reward/sqlite_file.h"

namespace pupil {

namespace {

constexpr SqliteLayout kLayout{
    .where = "teacher ledger",
    .fix = "choose another run directory",
    .application_id = 0x7075706D,  // "pupm"
    .version = 1,
    .tables =
        "create table spending (id integer primary key check (id = 1), requests"
        " integer not null, input_tokens integer not null, output_tokens integer"
        " not null, usd real not null);"
        "insert into spending values (1, 0, 0, 0, 0)"};

constexpr int kEnoughToLearn = 8;
constexpr double kMargin = 1.25;
constexpr double kOverheadTokens = 32;  // a chat template's marks, a turn

size_t bytes_of(const ChatRequest& request) {
  size_t bytes = request.system.size() + request.json_schema.size();
  for (const auto& message : request.messages) bytes += message.content.size();
  return bytes;
}

double overhead(const ChatRequest& request) {
  return kOverheadTokens * static_cast<double>(request.messages.size() + 1);
}

}  // namespace

double cost_usd(const TeacherPrices& prices, const ChatUsage& usage) {
  return (static_cast<double>(usage.input_tokens) * prices.in +
          static_cast<double>(usage.output_tokens) * prices.out) *
         1e-6;
}

struct SpendingLedger::State {
  SqliteFile file;
  explicit State(const std::string& path)
      : file(path.empty() ? ":memory:" : path, kLayout) {}
};

SpendingLedger::SpendingLedger(const std::string& path)
    : state_(std::make_unique<State>(path)) {}

SpendingLedger::~SpendingLedger() = default;

Spending SpendingLedger::total() const {
  auto row = state_->file.prepare(
      "select requests, input_tokens, output_tokens, usd from spending");
  if (sqlite3_step(row.get()) != SQLITE_ROW) state_->file.fail("read");
  auto number = [&](int column) { return sqlite3_column_int64(row.get(), column); };
  return {number(0), {number(1), number(2)}, sqlite3_column_double(row.get(), 3)};
}

void SpendingLedger::add(const Spending& spending) {
  auto row = state_->file.prepare(
      "update spending set requests = requests + ?, input_tokens = input_tokens + ?,"
      " output_tokens = output_tokens + ?, usd = usd + ?");
  sqlite3_bind_int64(row.get(), 1, spending.requests);
  sqlite3_bind_int64(row.get(), 2, spending.usage.input_tokens);
  sqlite3_bind_int64(row.get(), 3, spending.usage.output_tokens);
  sqlite3_bind_double(row.get(), 4, spending.usd);
  if (sqlite3_step(row.get()) != SQLITE_DONE) state_->file.fail("write");
}

CostCap::Verdict CostCap::verdict(const ChatUsage& worst) const {
  if (cap_usd_ <= 0) return Verdict::send;
  double after = spent_usd_ + reserved_usd_ + cost_usd(prices_, worst);
  if (after <= cap_usd_) return Verdict::send;
  return in_flight_ > 0 ? Verdict::wait : Verdict::stop;
}

void CostCap::on_sent(const ChatUsage& worst) {
  reserved_usd_ += cost_usd(prices_, worst);
  ++in_flight_;
}

double CostCap::on_settled(const ChatUsage& worst, const ChatUsage& real) {
  double cost = cost_usd(prices_, real);
  spent_usd_ += cost;
  reserved_usd_ -= cost_usd(prices_, worst);
  if (--in_flight_ == 0) reserved_usd_ = 0;  // no rounding is left over
  return cost;
}

ChatUsage TokenBound::worst(const ChatRequest& request) const {
  double per_byte = num_seen_ < kEnoughToLearn ? 1.0 : std::min(1.0, most_per_byte_);
  auto bytes = static_cast<double>(bytes_of(request));
  auto input = static_cast<int64_t>(std::ceil(bytes * per_byte + overhead(request)));
  return {input, request.max_tokens};
}

void TokenBound::learn(const ChatRequest& request, int64_t input_tokens) {
  double bytes = std::max(1.0, static_cast<double>(bytes_of(request)));
  double ratio = kMargin * static_cast<double>(input_tokens) / bytes;
  most_per_byte_ = std::max(most_per_byte_, ratio);
  ++num_seen_;
}

}  // namespace pupil
