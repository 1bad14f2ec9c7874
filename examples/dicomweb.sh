#!/bin/sh
# Stores a file and gets it back over DICOMweb, with curl:
#     isocenter token create example --role administrator > token
#     sh dicomweb.sh http://localhost:8080/dicomweb token FILE
set -eu
root=$1 token=$2 file=$3 folder=$(mktemp -d)

# Who asks is said by a file: others see what stands on the command line.
(umask 077 && echo "Authorization: Bearer $(cat "$token")" > "$folder/who")
ask() { curl -sSf -H "@$folder/who" "$@"; }

# Store: the object itself is the body. The answer names its address in (0008,1190).
ask -X POST -H 'Content-Type: application/dicom' -H 'Accept: application/dicom+json' \
    --data-binary "@$file" "$root/studies" -o "$folder/answer.json"
instance=$(grep -o '"00081190":{"vr":"UR","Value":\["[^"]*instances[^"]*' "$folder/answer.json" | sed 's/.*"//')
echo "stored: $instance"

# Metadata in JSON, one frame as it is kept, a picture, and the object as a file.
ask -H 'Accept: application/dicom+json' "$instance/metadata" -o "$folder/metadata.json"
ask -H 'Accept: application/octet-stream' "$instance/frames/1" -o "$folder/frame"
ask "$instance/rendered?accept=image/png" -o "$folder/picture.png"
ask -H 'Accept: application/dicom; transfer-syntax=*' "$instance" -o "$folder/again.dcm"
echo "frame: $(wc -c < "$folder/frame") bytes"

# Search: what is stored is found within a second.
study=${instance%%/series/*}
uid=${study##*/}
for try in 1 2 3 4 5 6 7 8 9 10; do
    ask -D "$folder/head" "$root/studies?StudyInstanceUID=$uid&includefield=StudyDescription" \
        -o "$folder/found.json"
    grep -qi '^x-total-count: 1' "$folder/head" && break
    sleep 0.5
done
echo "found: $(grep -i '^x-total-count' "$folder/head" | tr -dc '0-9')"

# The whole study as a ZIP file, and what happened lately.
ask "$study?accept=application/zip" -o "$folder/study.zip"
ask "${root%/dicomweb}/changes?since=oldest&limit=1" -o "$folder/changes.json"

# Delete it; until `keptUntil` it can be restored.
ask -X DELETE "$study?reason=example" -o "$folder/deleted.json"
deletion=$(grep -o '"id":"[^"]*' "$folder/deleted.json" | sed 's/.*"//')
ask -X POST "${root%/dicomweb}/api/deletions/$deletion/restore" -o /dev/null
echo "deleted and restored: $deletion"
rm -r "$folder"
