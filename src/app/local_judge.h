// A judge in this program: a second MLX model, or the student's own weights without
// their adapter. It gives the probabilities of a digit after a judge's prompt.

#pragma once

#include "models/model.h"
#include "reward/teacher_answers.h"
#include "reward/teacher_config.h"

namespace pupil {

/// `teacher.model` is a model directory or `student`, which must outlive the judge. Its
/// name in the cache is a SHA-256 over the model's files and the kind of device: the
/// same weights share their answers wherever they lie, others never do. It must not run
/// while others use MLX. Throws std::invalid_argument if the model cannot be loaded, or
/// if its tokenizer has no token for a digit.
LocalModel local_judge(const TeacherConfig& config, const Model& student);

/// The same where no student is loaded: loads the one in `student_dir`, if it judges.
LocalModel local_judge(const TeacherConfig& config, const std::string& student_dir);

/// The same of a given decoder and tokenizer, without the name.
LocalModel digit_judge(Decoder decoder, const Tokenizer& tokenizer);

}  // namespace pupil
