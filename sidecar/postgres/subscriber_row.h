// A row of fatwal.subscriber, read as a durable subscriber. Anybody who may write the table may
// have written it, so it is checked like what a peer sends.
#pragma once

#include <string>
#include <variant>

#include "sidecar/durable_subscriber.h"

namespace fatwal::sidecar {

// What a row of that table says; or why it names no subscriber.
std::variant<DurableSubscriber, std::string> durable_subscriber(const std::string& kind,
                                                                const std::string& account,
                                                                const std::string& name,
                                                                const std::string& acknowledged);

}  // namespace fatwal::sidecar
