#include "base/signals.h"

#include <signal.h>
#include <unistd.h>

namespace pupil {

namespace {

volatile sig_atomic_t num_signals = 0;
struct sigaction old_interrupt, old_terminate, old_pipe;

void on_signal(int number) {
  if (num_signals) _exit(128 + number);
  num_signals = 1;
}

}  // namespace

StopSignals::StopSignals() {
  num_signals = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt);
  sigaction(SIGTERM, &action, &old_terminate);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, &old_pipe);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &old_interrupt, nullptr);
  sigaction(SIGTERM, &old_terminate, nullptr);
  sigaction(SIGPIPE, &old_pipe, nullptr);
}

bool StopSignals::requested() {
  return num_signals != 0;
}

}  // namespace pupil
