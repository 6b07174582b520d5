// What STATUS answers: the values that `fatwal check` shows and judges. docs/operations.md explains
// each of them, and test/docs holds its table to this list.
#pragma once

#include <chrono>

#include "fatwal/wire/control.h"

namespace fatwal::sidecar {

class Accounts;
class Attachments;
class Confirmation;
class Descriptors;
class DurableStore;
struct Epoch;
class Ledger;
class Publishers;
class Replays;
struct Settings;
class SlotSession;
class Snapshots;
class SpoolBudget;
struct Tally;

struct StatusSources {
    const Settings& settings;
    const SlotSession& slot;
    const Epoch& epoch;
    const Ledger& ledger;
    const Confirmation& confirmation;
    const Accounts& accounts;
    const Attachments& attachments;
    const DurableStore& durables;
    const Publishers& publishers;
    const Replays& replays;
    const Snapshots& snapshots;
    const SpoolBudget& spools;
    const Tally& tally;
    const Descriptors& descriptors;
    std::chrono::steady_clock::time_point started;
};

[[nodiscard]] wire::StatusReply status_of(const StatusSources& of);

}  // namespace fatwal::sidecar
