// Where the fields of each header are, in bytes from its start: the tables of docs/wire-format.md.
// The plugin writes by these, and the views, fatwald and the tests read by them.
// test/unit/wire_documented.cpp compares them with the page.
#pragma once

#include <cstddef>

namespace fatwal::wire {

// The first fields of a frame and of a schema.
namespace message_at {
inline constexpr std::size_t kKind = 0;
inline constexpr std::size_t kVersion = 1;
}  // namespace message_at

namespace frame_at {
inline constexpr std::size_t kFlags = 2;
inline constexpr std::size_t kXid = 4;
inline constexpr std::size_t kCommitLsn = 8;
inline constexpr std::size_t kEndLsn = 16;
inline constexpr std::size_t kCommitTime = 24;
inline constexpr std::size_t kLength = 32;
inline constexpr std::size_t kRecordCount = 36;
inline constexpr std::size_t kRelationsOffset = 40;
inline constexpr std::size_t kRelationCount = 44;
inline constexpr std::size_t kAccountKind = 46;
inline constexpr std::size_t kAccountLength = 47;
inline constexpr std::size_t kAccount = 48;
}  // namespace frame_at
inline constexpr std::size_t kFrameHeaderBytes = frame_at::kAccount;
// One relation behind the records: its oid, then its schema's fingerprint.
inline constexpr std::size_t kFrameRelationBytes = 8;

namespace record_at {
inline constexpr std::size_t kLength = 0;
inline constexpr std::size_t kOrdinal = 4;
inline constexpr std::size_t kRelation = 8;
inline constexpr std::size_t kOp = 10;
inline constexpr std::size_t kFlags = 11;
inline constexpr std::size_t kOldOffset = 12;
inline constexpr std::size_t kBody = 16;
}  // namespace record_at
inline constexpr std::size_t kRecordHeaderBytes = record_at::kBody;

namespace row_at {
inline constexpr std::size_t kLength = 0;
inline constexpr std::size_t kColumns = 4;
inline constexpr std::size_t kFlags = 6;
inline constexpr std::size_t kNulls = 8;
}  // namespace row_at
inline constexpr std::size_t kRowHeaderBytes = row_at::kNulls;

namespace schema_at {
inline constexpr std::size_t kColumns = 2;
inline constexpr std::size_t kRelation = 4;
inline constexpr std::size_t kFingerprint = 8;
inline constexpr std::size_t kLength = 12;
inline constexpr std::size_t kReplicaIdentity = 16;
inline constexpr std::size_t kAccountColumn = 18;
inline constexpr std::size_t kNames = 24;
}  // namespace schema_at
inline constexpr std::size_t kSchemaHeaderBytes = schema_at::kNames;

namespace publication_at {
inline constexpr std::size_t kTopic = 0;
inline constexpr std::size_t kVersion = 1;
inline constexpr std::size_t kTime = 4;
inline constexpr std::size_t kEpoch = 8;
inline constexpr std::size_t kSequence = 16;
inline constexpr std::size_t kPosition = 24;
}  // namespace publication_at
inline constexpr std::size_t kPublicationHeaderBytes = 32;

}  // namespace fatwal::wire
