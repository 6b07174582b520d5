// What STATUS answers: the values that `fatwal status` shows and `doctor` judges.
// docs/operations.md explains each of them, and test/docs holds its table to this list.
#pragma once

#include <chrono>

#include "fatwal/wire/control.h"

namespace fatwal::sidecar {

class Accounts;
class Attachments;
class Confirmation;
class Credentials;
class Descriptors;
class DurableStore;
struct Epoch;
class KeyedConnections;
class Ledger;
struct Measures;
class Publishers;
class Replays;
struct Settings;
class SlotSession;
class Snapshots;
class SpoolBudget;
struct Tally;
class Zap;

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
    const Credentials& credentials;
    const KeyedConnections& keyed_connections;
    const Measures& measures;
    const Zap* zap;  // nullptr: peers with keys are not taken
    std::chrono::steady_clock::time_point started;
};

[[nodiscard]] wire::StatusReply status_of(const StatusSources& of);

}  // namespace fatwal::sidecar
