// One idiom for the two places C++20 needs reflection: configuration and model
// parameters. A struct lists its fields once,
//
//   template <class Self, class F>
//   static void visit(Self& self, F&& f) {
//     f("weight", self.weight);
//   }
//
// and loading, saving, flattening, printing and documenting all derive from it.

#pragma once

#include <string>
#include <string_view>
#include <type_traits>

namespace pupil {

namespace detail {
struct AnyVisitor {
  template <class... Args>
  void operator()(Args&&...) const {}
};
}  // namespace detail

template <class T>
concept Visitable =
    requires(T& t) { std::remove_const_t<T>::visit(t, detail::AnyVisitor{}); };

template <class T>
concept Optional = requires(T& t) {
  t.has_value();
  *t;
};

template <class T>
concept VisitableList = requires(T& t) {
  t.begin();
  t.size();
} && Visitable<typename T::value_type>;

/// Calls `f(path, leaf, help...)` for every leaf field under `value`, depth
/// first and in declaration order. Struct fields join with '.', list elements
/// by index: "layers.3.self_attn.q_proj.weight". Empty optionals are skipped.
template <class T, class F, class... Help>
void for_each_leaf(T& value, const std::string& path, F&& f, const Help&... help) {
  auto join = [&](std::string_view name) {
    return path.empty() ? std::string(name) : path + '.' + std::string(name);
  };
  if constexpr (Visitable<T>) {
    std::remove_const_t<T>::visit(
        value, [&](std::string_view name, auto& field, const auto&... h) {
          for_each_leaf(field, join(name), f, h...);
        });
  } else if constexpr (Optional<T>) {
    if (value) for_each_leaf(*value, path, f, help...);
  } else if constexpr (VisitableList<T>) {
    for (size_t i = 0; i < value.size(); ++i) {
      for_each_leaf(value[i], join(std::to_string(i)), f);
    }
  } else {
    f(path, value, help...);
  }
}

}  // namespace pupil
