// A durable subscriber as the table fatwal.subscriber has it.
#pragma once

#include <string>

#include "fatwal/wire/control.h"

namespace fatwal::sidecar {

struct DurableSubscriber {
    wire::AccountKey account;
    std::string name;
    wire::Lsn acknowledged = 0;
};

}  // namespace fatwal::sidecar
