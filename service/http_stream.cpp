#include "service/http_stream.h"

#include <utility>

namespace fatwal::service {

std::string server_sent_event(std::string_view name, std::string_view data, std::string_view id) {
    std::string out;
    if (!id.empty()) out.append("id: ").append(id) += '\n';
    out.append("event: ").append(name).append("\ndata: ").append(data);
    return out += "\n\n";
}

bool HttpStream::push(std::string_view text) {
    const std::lock_guard lock(mutex_);
    if (closed_ || ended_ || waiting_.size() + text.size() > most_bytes_) return false;
    const bool first = waiting_.empty();
    waiting_ += text;
    if (first && wake_) wake_();
    return true;
}

void HttpStream::end() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true) || !wake_) return;
    wake_();
}

bool HttpStream::closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
}

void HttpStream::attach(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wake_ = std::move(wake);
    if (!waiting_.empty() || ended_) wake_();
}

void HttpStream::detach() {
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
    closed_ = true;
    waiting_.clear();
}

std::string HttpStream::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(waiting_, {});
}

bool HttpStream::ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
}

}  // namespace fatwal::service
