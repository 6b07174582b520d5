// Several functions as one, for std::visit.
#pragma once

namespace fatwal::wire {

// Calls the one whose parameter fits. A variant's alternative that none fits does not compile.
template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace fatwal::wire
