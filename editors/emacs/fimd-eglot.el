;;; fimd-eglot.el --- fimd as the server of eglot  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Where eglot's server of a buffer is fimd itself, ghost text uses that connection, so that there
;; is one daemon and one model.  Eglot 1.17 has no public way to flush its changes and to ask how
;; it counts positions; the functions of its own that are used for that are all in this file.

;;; Code:

(require 'eglot)
(require 'fimd-daemon)
(require 'fimd-document)

(defclass fimd-eglot-server (eglot-lsp-server)
  ((sent :initform nil :accessor fimd-connection-sent
         :documentation "The id of the request sent last."))
  :documentation "A fimd daemon that eglot started.")

(cl-defmethod jsonrpc-connection-send :before ((server fimd-eglot-server)
                                               &key id method &allow-other-keys)
  "Remember in SERVER the ID of the request METHOD."
  (when (and id method)
    (setf (fimd-connection-sent server) id)))

(cl-defmethod eglot-initialization-options ((_server fimd-eglot-server))
  "The daemon's settings."
  (fimd-daemon-options))

(cl-defmethod eglot-client-capabilities :around ((_server fimd-eglot-server))
  "Those of eglot, with ghost text."
  (let ((all (copy-tree (cl-call-next-method))))
    (plist-put all :experimental '(:fimd (:streaming t)))
    (plist-put all :textDocument
               (plist-put (plist-get all :textDocument)
                          :inlineCompletion '(:dynamicRegistration :json-false)))))

(cl-defmethod eglot-handle-notification
  ((server fimd-eglot-server) (_method (eql fimd/inlineCompletion/didUpdate))
   &key id items final &allow-other-keys)
  "Take from SERVER the ITEMS of the request ID, and whether they are FINAL."
  (run-hook-with-args 'fimd-daemon-update-functions server id items (eq final t)))

(defun fimd-eglot-contact (&optional _interactive _project)
  "How to start fimd, as `eglot-server-programs' has it."
  (append (list 'fimd-eglot-server fimd-program "lsp") fimd-arguments))

(defun fimd-eglot-current ()
  "The fimd daemon that is eglot's server of this buffer, or nil."
  (when-let* ((server (eglot-current-server))
              ((eglot-managed-p))
              ((jsonrpc-running-p server))
              ((or (object-of-class-p server 'fimd-eglot-server)
                   (equal (plist-get (eglot--server-info server) :name) "fimd"))))
    server))

(defun fimd-eglot-encoding (server)
  "The position encoding of SERVER."
  (fimd-document-encoding (eglot--capabilities server)))

(defun fimd-eglot-identifier ()
  "The document as eglot names it."
  (eglot--TextDocumentIdentifier))

(defun fimd-eglot-sync ()
  "Send at once what eglot would send when idle."
  (eglot--signal-textDocument/didChange))

(provide 'fimd-eglot)
;;; fimd-eglot.el ends here
