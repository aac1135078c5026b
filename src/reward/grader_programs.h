// The Python that runs inside the boxes, around code that nobody trusts.
//
// Values cross a box's edge in a typed encoding, so that no __eq__, __repr__ or print
// of the student's is ever asked:
//   N T F                 None, True, False
//   i<hex>;               int            f<hexfloat>;           float
//   c<hexfloat>;<hexfloat>;  complex     s<n>:<n UTF-8 bytes>   str
//   b<n>:<n bytes>        bytes          t<n>:... l<n>:...      tuple, list
//   S<n>:...              set, frozenset d<n>:<key><value>...   dict
//   g<n>:...              iterator, as its items
//   o<n>:<type name>      anything else
//   r<n>:<id> <type name> an object that stays in the student's box; back: <id> alone.
//                         Only where the tests make objects of the answer's classes.
// Instances of subclasses are taken as their base, views of a dict as sets, a Fraction
// or Decimal as the int or float that equals it: as Python's == would.
//
// Messages, both ways, are "<kind> <length>\n" and a payload:
//   to the student's box    C code    E expression    A name \n encoded argument tuple
//   from it, one for each   V encoded value    X type name \n message    T ran out of
//   time
//     and for an A          M encoded (value, arguments as the call left them)
//   to the checker          C name classes... \n setup   E test   and the student's
//                           replies, passed on
//   from the checker        P passed    F message    U cannot be asked of another
//                           process    A as above, to be passed on; with classes, P
//                           also when the setup is over
// The name of an A is that of a function or class; ".name", where the reply may hold
// objects; "..get", "..set" and "..call", which do that with an object of theirs.

#pragma once

#include <string>

namespace pupil {

/// Runs the student's code and calls. Each message is held to `call_cpu_s` and
/// `call_wall_s`; after two that ran out of time the rest is not tried. Results are at
/// most `max_value_bytes` each.
std::string student_program(
    double call_cpu_s, double call_wall_s, size_t max_value_bytes);

/// Runs tests that call the function of the C message in the student's box.
std::string checker_program(size_t max_value_bytes);

/// How a program in a box speaks: `receive`, `send`, `encode`, `decode`, `describe`.
std::string grader_codec();

/// A module whose every function stands for the student's of that name. `ask` defines
/// `_ask(payload)`, which sends an A message and returns the reply.
std::string stand_in_module(const std::string& ask, size_t max_value_bytes);

}  // namespace pupil
