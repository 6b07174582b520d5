// For LD_PRELOAD: lets operator new fail in some of a program's threads.
//
// FAIL_NEW_THREADS names the threads, with commas between. In them every kEvery-th allocation
// begins a run of 1 to 4 that fail, so that what reports the first one meets the next. After
// FAIL_NEW_TIMES failures all is well again.
#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr unsigned kEvery = 23;
constexpr unsigned kLongestRun = 4;

std::atomic<unsigned> allocations{0};
std::atomic<unsigned> failures{0};

bool is_named() {
    const char* names = std::getenv("FAIL_NEW_THREADS");
    char own[16] = {};
    if (names == nullptr || pthread_getname_np(pthread_self(), own, sizeof own) != 0) return false;
    const char* found = std::strstr(names, own);
    const char after = found == nullptr ? 'x' : found[std::strlen(own)];
    return after == ',' || after == '\0';
}

// The thread has its name before its first allocation (service/helper_thread.cpp).
bool fails() {
    thread_local const bool named = is_named();
    if (!named) return false;
    static const unsigned times = [] {
        const char* text = std::getenv("FAIL_NEW_TIMES");
        return text == nullptr ? 0U : static_cast<unsigned>(std::atoi(text));
    }();
    const unsigned number = allocations++;
    const unsigned run = 1 + number / kEvery % kLongestRun;
    if (number % kEvery >= run || number < kEvery || failures >= times) return false;
    ++failures;
    return true;
}

}  // namespace

void* operator new(std::size_t size) {
    void* memory = fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
