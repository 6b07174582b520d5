#include "service/event.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace fatwal::service {

Event::Event() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Event::~Event() { close(fd_); }

// Neither can fail in a way that matters: a write that would block finds the event set, a read that
// would block finds it cleared.
void Event::set() const noexcept { (void)eventfd_write(fd_, 1); }

void Event::clear() const noexcept {
    eventfd_t count = 0;
    (void)eventfd_read(fd_, &count);
}

}  // namespace fatwal::service
