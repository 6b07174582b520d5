#include "portal/process/flow_desk.h"

#include <boost/asio/post.hpp>

#include "portal/process/clock.h"

namespace fatwal::process {
namespace {

access::FlowBatch::Options options_of(std::chrono::milliseconds after) {
    access::FlowBatch::Options out;
    out.after = after;
    return out;
}

}  // namespace

FlowDesk::FlowDesk(boost::asio::io_context& io, std::string database,
                   std::chrono::milliseconds after, Notify notify)
    : io_(io),
      notify_(std::move(notify)),
      batch_(options_of(after)),
      deadline_(io, steady_clock,
                [this] {
                    deadline_.clear();
                    send_what_is_due();
                }),
      writer_(std::move(database), [this](FlowWriter::Written result) {
          boost::asio::post(io_, [this, result = std::move(result)] { written(result); });
      }) {}

void FlowDesk::write(portal::Flows row) {
    notify(batch_.add(std::move(row), steady_clock()));
    send_what_is_due();
}

void FlowDesk::remove(const access::Uuid& flow_id) {
    batch_.remove(flow_id, steady_clock());
    send_what_is_due();
}

void FlowDesk::hurry() {
    hurries_ = true;
    send_what_is_due();
}

void FlowDesk::written(const FlowWriter::Written& result) {
    if (result.failed)
        batch_.failed(result.number, steady_clock() + kRetry);
    else
        notify(batch_.written(result.number, result.result, steady_clock()));
    send_what_is_due();
}

void FlowDesk::notify(const std::vector<access::FlowBatch::Notice>& notices) const {
    for (const auto& notice : notices) notify_(notice);
}

void FlowDesk::send_what_is_due() {
    if (auto batch = batch_.take(hurries_ ? access::Tick::max() : steady_clock()))
        writer_.write(std::move(*batch));
    deadline_.set(batch_.next_deadline());
}

}  // namespace fatwal::process
