"""Stores that refuse the checksums of uploads.

Since version 1.36 botocore adds a checksum to every upload: over HTTPS after the body, which is aws-chunked
then (`x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER`), over HTTP in a header. Stores that do not
know it refuse the upload with different codes, each of which also has other causes.
"""

import re

from botocore.exceptions import ClientError

_UPLOADS = ("PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload")
_CODES = (
    "MissingContentLength",  # Ceph, Storj, Hitachi: 411
    "InvalidArgument",  # "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, …": 400
    "NotImplemented",  # 501
    "SignatureDoesNotMatch",  # 403
    "XAmzContentSHA256Mismatch",  # older MinIO and those built on it: 400
    "InvalidTrailer",  # 400
)
_WORDS = re.compile("trailer|trailing|sdk-checksum|aws-chunked", re.IGNORECASE)


def may_refuse_checksums(error: Exception, endpoint: str) -> bool:
    """Whether an upload was refused in a way in which stores refuse its checksum: another try shows."""
    if not isinstance(error, ClientError) or error.operation_name not in _UPLOADS:
        return False
    answer = error.response.get("Error", {})
    if _WORDS.search(str(answer.get("Message", ""))):
        return True
    return endpoint.startswith("https:") and answer.get("Code") in _CODES
